"""Relaunching a frozen submission in a fresh sandbox, lazily and as often as asked."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from inferencebench.errors import InfrastructureError
from inferencebench.run.bench import Bench
from inferencebench.run.freeze import NotFreezable, freeze
from inferencebench.run.neighbours import still_holding
from inferencebench.run.record import Launch
from inferencebench.sandbox.bubblewrap import HOME
from inferencebench.sandbox.contract import KillReport, Sandbox
from inferencebench.sandbox.removal import remove_tree
from inferencebench.serve.server import Server, start
from inferencebench.serve.submission import server_spec

CACHES = {
    "XDG_CACHE_HOME": f"{HOME}/.cache",
    "VLLM_CACHE_ROOT": f"{HOME}/.cache/vllm",
    "TRITON_CACHE_DIR": f"{HOME}/.cache/triton",
    "TORCHINDUCTOR_CACHE_DIR": f"{HOME}/.cache/torchinductor",
    "FLASHINFER_WORKSPACE_BASE": HOME,
    "CUDA_CACHE_PATH": f"{HOME}/.cache/cuda",
}
"""Where engines keep what they compiled, when the HOME outlives the server: some would use /tmp, which does not."""


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
    on_stop: Callable[[KillReport], None] = lambda report: None,
    *,
    expected_sha256: str | None,
    home: Path | None = None,
    ready_s: float | None = None,
) -> Iterator[Relaunched]:
    """Serve a private copy of `submission` while the body runs; afterwards nothing of it is left.

    `on_tick` is called while the server starts and may raise to give up; `on_stop` gets what the end left behind;
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
        bench.reporter.note("launching the server")
        server = start(sandbox, spec, argv, logs)
        try:
            limit = min(ready_s or bench.suite.limits.ready_s, bench.suite.limits.ready_s)
            ready = server.wait_ready(limit, bench.suite.model.id, on_tick)
            yield Relaunched(server, ready.seconds)
        finally:
            inside = server.process.pids()
            on_stop(server.stop())
            if left := still_holding(bench.gpus, inside):
                raise InfrastructureError(f"GPU memory of ended processes is not given back: pid {left}")
    finally:
        remove_tree(scratch)


def _copy(submission: Path, copy: Path, limit_bytes: int, expected_sha256: str | None) -> None:
    """Copy a frozen submission and hash the copy in one pass, so that what is served is what was hashed."""
    try:
        sha256 = freeze(submission, copy, limit_bytes).sha256
    except NotFreezable as error:
        raise InfrastructureError(f"{submission}: the frozen submission cannot be copied: {error}") from None
    if expected_sha256 is not None and sha256 != expected_sha256:
        wanted = f"its manifest says {expected_sha256}"
        raise InfrastructureError(f"{submission}: the frozen submission has changed: its hash is {sha256}, {wanted}")
