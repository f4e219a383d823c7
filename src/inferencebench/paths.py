"""Where things lie on the host, and how they are named inside a sandbox."""

import os
from pathlib import Path

WORKSPACE = "/workspace"
SUBMISSION = "/workspace/submission"
MODEL = "/model"
WEIGHTS = ".safetensors"
"""Files of a checkpoint that hold its weights."""
ENGINE_ENVIRONMENT = "/opt/ib"
HARNESS_SOCKET = "/run/ib/harness.sock"


def cache_dir() -> Path:
    """The cache of checkpoints, calibrations and downloads: `$INFERENCEBENCH_CACHE`, else under `$XDG_CACHE_HOME`."""
    chosen = os.environ.get("INFERENCEBENCH_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "inferencebench"
