"""Relaunching a frozen submission in a fresh sandbox, lazily and as often as asked."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from inferencebench.errors import InfrastructureError
from inferencebench.paths import MODEL, SUBMISSION
from inferencebench.run.bench import Bench
from inferencebench.run.freeze import NotFreezable, freeze
from inferencebench.run.neighbours import still_holding
from inferencebench.run.record import Launch
from inferencebench.sandbox.bubblewrap import HOME
from inferencebench.sandbox.contract import KillReport, Sandbox
from inferencebench.sandbox.opened import OpenedFile, OpenedFiles
from inferencebench.sandbox.removal import remove_tree
from inferencebench.serve.server import Server, start
from inferencebench.serve.submission import disk_bytes, server_spec

CACHES = {
    "XDG_CACHE_HOME": f"{HOME}/.cache",
    "VLLM_CACHE_ROOT": f"{HOME}/.cache/vllm",
    "TRITON_CACHE_DIR": f"{HOME}/.cache/triton",
    "TORCHINDUCTOR_CACHE_DIR": f"{HOME}/.cache/torchinductor",
    "FLASHINFER_WORKSPACE_BASE": HOME,
    "CUDA_CACHE_PATH": f"{HOME}/.cache/cuda",
}
"""Where engines keep what they compiled, when the HOME outlives the server: some would use /tmp, which does not."""
LARGE_BYTES = 1 << 20
"""Smaller files hold no weights worth mentioning."""
MAX_OPENED = 50


class Stopped(NamedTuple):
    """What was seen of a server by its end. The last two are None where nobody could look, or it was never ready."""

    report: KillReport
    unrouted: int | None
    """How often it wanted to send to an address outside, since it was ready."""
    opened: tuple[OpenedFile, ...] | None
    """The largest files that were opened among the weights and its own; see `LARGE_BYTES`."""


class Relaunched(NamedTuple):
    """A ready server of a frozen submission."""

    server: Server
    ready_s: float

    @property
    def launch(self) -> Launch:
        """The record of this launch."""
        return Launch(ready_s=self.ready_s, limits=self.server.process.limits)


@contextmanager
def relaunched(
    bench: Bench,
    sandbox: Sandbox,
    submission: Path,
    logs: Path,
    on_tick: Callable[[float], None] | None = None,
    on_stop: Callable[[Stopped], None] = lambda stopped: None,
    *,
    expected_sha256: str | None,
    home: Path | None = None,
    ready_s: float | None = None,
) -> Iterator[Relaunched]:
    """Serve a private copy of `submission` while the body runs; afterwards nothing of it is left.

    `on_tick` is called while the server starts and may raise to give up; `on_stop` gets what was seen of it;
    `expected_sha256` is the hash of the frozen submission's manifest (None: whatever is there is served). `home`
    outlives the server where one is given (compile caches of a search); `ready_s` shortens the suite's limit.

    Raises ServerFailed when it does not become ready, InfrastructureError when the copy is not what was frozen."""
    memory = bench.suite.hardware.memory_limit_gib
    scratch = bench.scratch(logs)
    try:
        copy = scratch / "submission"
        _copy(submission, copy, int(bench.suite.limits.submission_gib * 2**30), expected_sha256)
        kept = home is not None
        if home is None:
            home = scratch / "home"
            home.mkdir()
        spec, argv = server_spec(
            copy,
            bench.checkpoint.path,
            bench.suite.model.id,
            cpus=bench.cores.server,
            memory_bytes=int(memory * 2**30) if memory else None,
            scratch=home,
            gpus=bench.gpus,
            env=CACHES if kept else None,
        )
        spec = replace(spec, disk_bytes=disk_bytes(bench.suite.limits.submission_gib))
        bench.reporter.note("launching the server")
        with OpenedFiles({MODEL: bench.checkpoint.path, SUBMISSION: copy, HOME: home}) as files:
            server = start(sandbox, spec, argv, logs)
            was_ready, unrouted = False, None
            try:
                limit = min(ready_s or bench.suite.limits.ready_s, bench.suite.limits.ready_s)
                ready = server.wait_ready(limit, bench.suite.model.id, on_tick)
                was_ready, unrouted = True, server.process.unrouted()
                yield Relaunched(server, ready.seconds)
            finally:
                inside = server.process.pids()
                on_stop(_stopped(server.stop(), unrouted, files if was_ready else None))
                if left := still_holding(bench.gpus, inside):
                    raise InfrastructureError(f"GPU memory of ended processes is not given back: pid {left}")
    finally:
        remove_tree(scratch)


def _stopped(report: KillReport, unrouted: int | None, files: OpenedFiles | None) -> Stopped:
    since = None if unrouted is None or report.unrouted is None else report.unrouted - unrouted
    opened = files.found(LARGE_BYTES) if files else None
    return Stopped(report, since, None if opened is None else opened[:MAX_OPENED])


def _copy(submission: Path, copy: Path, limit_bytes: int, expected_sha256: str | None) -> None:
    """Copy a frozen submission and hash the copy in one pass, so that what is served is what was hashed."""
    try:
        sha256 = freeze(submission, copy, limit_bytes).sha256
    except NotFreezable as error:
        raise InfrastructureError(f"{submission}: the frozen submission cannot be copied: {error}") from None
    if expected_sha256 is not None and sha256 != expected_sha256:
        wanted = f"its manifest says {expected_sha256}"
        raise InfrastructureError(f"{submission}: the frozen submission has changed: its hash is {sha256}, {wanted}")
