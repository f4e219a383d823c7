"""The sandbox in which a submission is served."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from inferencebench.paths import MODEL, SUBMISSION
from inferencebench.sandbox.bubblewrap import HOME
from inferencebench.sandbox.contract import Mount, SandboxSpec
from inferencebench.sandbox.environment import engine_view

LAUNCHER = "start_server.sh"
MAX_PROCESSES = 4096
"""Threads included: far above what engines use, low enough that a fork loop cannot take the machine."""


CACHES_GIB = 16
"""Disk space beside the submission itself, for what engines compile and download caches hold."""


def disk_bytes(submission_gib: float) -> int:
    """What a sandbox with a submission of that size at most may write."""
    return int((submission_gib + CACHES_GIB) * 2**30)


class Launch(NamedTuple):
    """What `server.start` needs."""

    spec: SandboxSpec
    argv: list[str]


def server_spec(
    submission: Path,
    checkpoint: Path,
    model_id: str,
    *,
    cpus: tuple[int, ...] | None,
    memory_bytes: int | None,
    scratch: Path,
    gpus: tuple[int, ...] = (),
    env: Mapping[str, str] | None = None,
) -> Launch:
    """How to serve a submission.

    `submission` is a private copy, which the server may write to; `checkpoint` is read-only; `scratch` is a private
    directory that becomes its HOME (compile caches are too large for memory). `env` adds thread counts and the like."""
    view = engine_view()
    mounts = (
        Mount(submission, SUBMISSION, writable=True),
        Mount(checkpoint, MODEL),
        Mount(scratch, HOME, writable=True),
    )
    spec = SandboxSpec(
        cwd=SUBMISSION,
        mounts=(*view.mounts, *mounts),
        masked=view.masked,
        env={**view.env, "MODEL_PATH": MODEL, "MODEL_ID": model_id, **(env or {})},
        cpus=cpus,
        memory_bytes=memory_bytes,
        max_processes=MAX_PROCESSES,
        gpus=gpus,
    )
    return Launch(spec, ["/bin/bash", f"{SUBMISSION}/{LAUNCHER}"])
