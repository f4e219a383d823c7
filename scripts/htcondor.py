#!/usr/bin/env python3
"""Get a real HTCondor for `make test-cluster`. Standard library only.

    python3 scripts/htcondor.py FOLDER

Installed from the distribution where that has it; elsewhere (Debian 12 has none) a small Debian 13 with HTCondor is
made in FOLDER by mmdebstrap, which takes a minute and 300 MB. Its tests skip where neither works.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from install import apt, quiet, say

PACKAGES = "condor,bubblewrap,ca-certificates"
"""What runs there starts bubblewrap."""


def make(folder: Path) -> bool:
    """The Debian in `folder`; there whole or not at all."""
    if shutil.which("mmdebstrap") is None and not apt("mmdebstrap"):
        return False
    say(f"making a Debian with HTCondor in {folder}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".htcondor-") as made:
        root = Path(made) / "root"
        argv = ("mmdebstrap", "--quiet", "--variant=essential", f"--include={PACKAGES}", "trixie", str(root))
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            say(f"mmdebstrap: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
            return False
        root.rename(folder)
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder.absolute()
    if shutil.which("condor_master") or folder.exists():
        return 0
    if not (quiet("apt-cache", "show", "condor") and apt("condor")) and not make(folder):
        say("no HTCondor here: its tests are left out")
    return 0


if __name__ == "__main__":
    sys.exit(main())
