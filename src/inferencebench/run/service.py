"""The evaluation service: HTTP/1.1 on a unix socket that is bound into the agent's sandbox at `/run/ib/harness.sock`.

It answers with metrics and verdicts, never with answers or eval data.
"""

import queue
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException
from fastapi.responses import PlainTextResponse, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from inferencebench.errors import BenchError, InfrastructureError
from inferencebench.files import canonical_json
from inferencebench.paths import HARNESS_SOCKET
from inferencebench.run.evaluate import Busy, Evaluator
from inferencebench.run.ledger import Ledger, LedgerView
from inferencebench.run.record import Evaluation
from inferencebench.suites.model import Record

START_TIMEOUT_S = 20.0
MAX_BODY_BYTES = 4096
MAX_CONNECTIONS = 64
SOCKET_FOLDER_PREFIX = "ib-"


class EvaluationRequest(Record):
    """Body of `POST /v1/evaluations`."""

    quick: bool = False


class RestoreRequest(Record):
    """Body of `POST /v1/restore`: a number, or BEST."""

    which: str


class ClockState(Record):
    """Answer of `GET /v1/clock`, seconds."""

    elapsed_s: float
    remaining_s: float
    budget_s: float


def application(evaluator: Evaluator) -> FastAPI:
    """The service's routes over one session's evaluator."""
    app = FastAPI(title="InferenceBench evaluation service", openapi_url=None)

    @app.get("/v1/clock")
    def clock() -> ClockState:
        now = evaluator.clock
        return ClockState(elapsed_s=now.elapsed_s, remaining_s=now.remaining_s, budget_s=now.budget_s)

    @app.get("/v1/evaluations")
    def evaluations() -> list[dict[str, Any]]:
        return [record.model_dump(mode="json") for record in evaluator.records]

    @app.post("/v1/evaluations")
    def evaluate(request: EvaluationRequest) -> StreamingResponse:
        try:
            evaluator.reserve()
        except Busy as error:
            raise HTTPException(409, str(error)) from None
        return StreamingResponse(_lines(_begin(evaluator, request.quick)), media_type="application/x-ndjson")

    if evaluator.ledger is not None:
        _ledger_routes(app, evaluator.ledger, evaluator.workspace)
    app.add_middleware(SmallBodies)
    return app


def _ledger_routes(app: FastAPI, ledger: Ledger, workspace: Path) -> None:
    @app.get("/v1/ledger")
    def view() -> LedgerView:
        return ledger.view()

    @app.get("/v1/ledger/diff")
    def diff(which: str, against: str = "previous") -> dict[str, str]:
        with _refusing():
            return {"diff": ledger.diff(which, against)}

    @app.post("/v1/restore")
    def restore(request: RestoreRequest) -> Evaluation:
        with _refusing():
            return ledger.restore(request.which, workspace)


@contextmanager
def _refusing() -> Iterator[None]:
    """What the agent asked for wrongly is its answer, not an error of the service."""
    try:
        yield
    except BenchError as error:
        raise HTTPException(409, str(error)) from None


class SmallBodies:
    """Refuses requests whose body is large or of unknown length, before it is read: the agent is not trusted."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 413."""
        headers = dict(scope.get("headers", ()))
        length = headers.get(b"content-length", b"0")
        small = length.isdigit() and len(length) < 9 and int(length) <= MAX_BODY_BYTES
        if not small or b"transfer-encoding" in headers:
            await PlainTextResponse("the body is too large", status_code=413)(scope, receive, send)
            return
        await self._app(scope, receive, send)


Lines = queue.Queue[dict[str, Any] | None]


def _begin(evaluator: Evaluator, quick: bool) -> Lines:
    """Start the reserved evaluation in a thread that also ends the reservation: a client may leave at any time."""
    lines: Lines = queue.Queue()

    def work() -> None:
        try:
            evaluation = evaluator.run(quick, lambda text: lines.put({"event": "progress", "text": text}))
            lines.put({"event": "result", "evaluation": evaluation.model_dump(mode="json")})
        finally:
            lines.put(None)

    threading.Thread(target=work, name="evaluation", daemon=True).start()
    return lines


def _lines(lines: Lines) -> Iterator[bytes]:
    """NDJSON: progress, then the result."""
    while (line := lines.get()) is not None:
        yield canonical_json(line) + b"\n"


@contextmanager
def serving(evaluator: Evaluator) -> Iterator[Path]:
    """Serve while the body runs; gives the private directory that holds the socket.

    Raises InfrastructureError when the service does not come up."""
    folder = Path(tempfile.mkdtemp(prefix=SOCKET_FOLDER_PREFIX))
    path = folder / Path(HARNESS_SOCKET).name
    server = uvicorn.Server(
        uvicorn.Config(
            application(evaluator),
            uds=str(path),
            log_config=None,
            lifespan="off",
            access_log=False,
            limit_concurrency=MAX_CONNECTIONS,
        )
    )
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.run, name="evaluation-service", daemon=True)
    thread.start()
    try:
        waited = threading.Event()
        for _ in range(int(START_TIMEOUT_S / 0.02)):
            if server.started or not thread.is_alive():
                break
            waited.wait(0.02)
        if not server.started:
            raise InfrastructureError(f"the evaluation service did not start on {path}")
        yield folder
    finally:
        server.should_exit = server.force_exit = True
        thread.join(timeout=10)
        shutil.rmtree(folder, ignore_errors=True)
