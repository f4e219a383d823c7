"""The back ends by name."""

import functools

from inferencebench.errors import MissingError, UserError
from inferencebench.sandbox.apptainer import Apptainer
from inferencebench.sandbox.bubblewrap import Bubblewrap
from inferencebench.sandbox.contract import Probe, Sandbox
from inferencebench.sandbox.podman import Podman
from inferencebench.sandbox.process import Process
from inferencebench.sandbox.unshare import Unshare

AUTO = "auto"
_ALL: tuple[Sandbox, ...] = (Bubblewrap(), Unshare(), Podman(), Apptainer(), Process())
_BACK_ENDS = {backend.name: backend for backend in _ALL}
"""In order of preference."""


def names() -> tuple[str, ...]:
    """Every back end's name, the preferred one first."""
    return tuple(_BACK_ENDS)


@functools.cache
def probe(name: str) -> Probe:
    """Whether a back end works here; it is tried once per process. UserError on an unknown name."""
    return _known(name).probe()


def get(name: str = AUTO) -> Sandbox:
    """A back end by name; `auto` is the first one that works here.

    UserError on an unknown name, MissingError when `auto` finds none. A named back end is not tried: see `probe`."""
    if name != AUTO:
        return _known(name)
    for known in names():
        if probe(known).ok:
            return _BACK_ENDS[known]
    reasons = "; ".join(f"{known}: {probe(known).detail}" for known in names())
    raise MissingError(f"sandbox: no back end works on this machine ({reasons}). {probe(names()[0]).remedy}")


def _known(name: str) -> Sandbox:
    if name not in _BACK_ENDS:
        raise UserError(f"sandbox '{name}' is not known: choose {AUTO}, {' or '.join(names())}")
    return _BACK_ENDS[name]
