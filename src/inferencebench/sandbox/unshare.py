"""Back end `unshare`: bubblewrap's walls by our own program, for root on machines where bubblewrap is not installed."""

import os
import sys
from pathlib import Path

from inferencebench.sandbox.bubblewrap import Bubblewrap
from inferencebench.sandbox.contract import Probe

WALL = Path(__file__).parent / "wall.py"


class Unshare(Bubblewrap):
    """The same namespaces, mounts and limits as `bubblewrap`."""

    name = "unshare"
    verified = True

    def probe(self) -> Probe:
        """Start a command that does nothing, and reach for its network; root on Linux only."""
        if sys.platform != "linux" or os.geteuid() != 0:
            return Probe(False, "needs root on Linux", "install bubblewrap, which ordinary users may run")
        return self.try_once("our own wall, for root")

    def wall(self) -> list[str]:
        """Our program."""
        return [sys.executable, "-I", "-S", "-B", str(WALL)]

    def bounds_memory_places(self) -> bool:
        """It knows `--size`."""
        return True
