"""One server of a submission: started behind a wall, waited for, watched, ended."""

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from inferencebench.errors import BenchError
from inferencebench.sandbox.contract import ForeignListenerError, KillReport, Sandbox, SandboxProcess, SandboxSpec
from inferencebench.serve.logs import CAP_BYTES, LogPump
from inferencebench.serve.readiness import NotAServerError, Ready, ask_models
from inferencebench.serve.text import printable, printable_lines

POLL_MIN_S, POLL_MAX_S = 0.02, 0.25
"""Time between two looks at a server that is not ready; it doubles from the first to the second."""
TAIL_LINES = 40


class ServerFailed(BenchError):
    """The submission's server is at fault: it ended, never became ready, or is not what was asked for."""

    def __init__(self, reason: str, log_tail: str, exit_code: int | None) -> None:
        self.reason = printable(reason)
        super().__init__(f"server: {self.reason}")
        self.log_tail = printable_lines(log_tail)
        """Its last lines; like the reason, fit to be shown whatever the server said."""
        self.server_exit_code = exit_code
        """Exit code of the launcher; None when it had not ended by itself."""


class Server:
    """A running server. A context manager: it is stopped at the end of the block."""

    def __init__(self, process: SandboxProcess, pump: LogPump) -> None:
        self.process = process
        self._pump = pump
        self._started = time.monotonic()
        self.connect = process.connect
        """A connected socket to the server; see `SandboxProcess.connect`."""

    @property
    def port(self) -> int:
        """The port it listens on, inside."""
        return self.process.port

    def alive(self) -> bool:
        """Whether the launcher is still in the foreground."""
        return self.process.poll() is None

    def log_tail(self, lines: int = TAIL_LINES) -> str:
        """The newest lines of its standard output and error."""
        return self._pump.tail(lines)

    def wait_ready(self, timeout_s: float, model_id: str, on_tick: Callable[[float], None] | None = None) -> Ready:
        """Ask `GET /v1/models` until it names `model_id`. `on_tick` gets the seconds since the start at every look.

        Raises ServerFailed when the server ends, the time is over, a foreign process holds the port, or what
        answers is not this model over the OpenAI protocol. Refused connections and HTTP errors mean: not yet."""
        deadline = self._started + timeout_s
        pause = POLL_MIN_S
        last = "nothing listened on the port"
        while True:
            if (code := self.process.poll()) is not None:
                raise self.failure(f"it ended with exit code {code} before it was ready", code)
            try:
                models = ask_models(self.connect, deadline)
            except ForeignListenerError as error:
                raise self.failure(str(error)) from None
            except NotAServerError as error:
                raise self.failure(str(error)) from None
            except OSError as error:
                last = str(error) or last
            else:
                if model_id not in models:
                    raise self.failure(f"it serves {', '.join(models)} where {model_id} was asked for")
                return Ready(time.monotonic() - self._started, models)
            now = time.monotonic()
            if on_tick is not None:
                on_tick(now - self._started)
            if now >= deadline:
                raise self.failure(f"it was not ready after {timeout_s:g} s: {last}")
            time.sleep(min(pause, max(0.0, deadline - now)))
            pause = min(2 * pause, POLL_MAX_S)

    def failure(self, reason: str, exit_code: int | None = None) -> ServerFailed:
        """The error for this server, with its last lines. When it has ended, these are complete."""
        if exit_code is not None:
            self.stop(0)
        return ServerFailed(reason, self.log_tail(), exit_code)

    def stop(self, grace_s: float = 5.0) -> KillReport:
        """End the server and all it started, and complete the logs. Idempotent."""
        report = self.process.terminate(grace_s)
        self._pump.close()
        return report

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(grace_s=5.0 if kind is None else 0.0)


def start(sandbox: Sandbox, spec: SandboxSpec, argv: list[str], log_dir: Path, cap_bytes: int = CAP_BYTES) -> Server:
    """Start a server; its output goes to `server.out` and `server.err` in `log_dir`, each up to `cap_bytes`.

    Raises InfrastructureError when the sandbox cannot be set up."""
    log_dir.mkdir(parents=True, exist_ok=True)
    pump = LogPump([log_dir / "server.out", log_dir / "server.err"], cap_bytes)
    pump.start()
    try:
        process = sandbox.start(spec, argv, *pump.writers)
    except BaseException:
        pump.close()
        raise
    pump.release()
    return Server(process, pump)
