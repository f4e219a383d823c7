#!/usr/bin/env python3
"""Install everything a target of the Makefile needs into a virtual environment. Standard library only.

    python3 scripts/install.py --venv .venv [--dev]

Idempotent: a stamp in the environment names the files it was made from. System packages (bubblewrap, python3-venv) are
installed where we may; elsewhere the command to run is printed and the work goes on without them.
"""

import argparse
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
TORCH = "2.13.0"
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
TORCH_CPU_ATTEMPTS = 3
APT = ("apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120", "-o", "Acquire::Retries=3")
"""Another installation may be under way on a fresh machine."""
MINIMUM = (3, 11)
EXIT_MISSING = 3


def say(text: str) -> None:
    print(f"install: {text}", file=sys.stderr, flush=True)


def fail(text: str) -> NoReturn:
    say(text)
    raise SystemExit(EXIT_MISSING)


def quiet(*argv: str) -> bool:
    try:
        return subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0
    except OSError:
        return False


def must(*argv: str) -> None:
    """Run a command of pip, whose own errors are shown; end with one line when it fails."""
    code = subprocess.run(argv, check=False).returncode
    if code:
        fail(f"exit code {code} of: {shlex.join(argv)}; mend what pip names above (network, disk), then run this again")


def apt(package: str) -> bool:
    """Install a Debian package where we may; print how otherwise."""
    manual = f"sudo apt-get install -y {package}"
    if shutil.which("apt-get") is None:
        say(f"{package} is missing and this is not Debian or Ubuntu; install it with your package manager")
        return False
    prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if prefix and not quiet(*prefix, "true"):
        say(f"{package} is missing; run: {manual}")
        return False
    say(f"installing {package}")
    environment = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive"]
    quiet(*environment, *APT, "update")
    if quiet(*environment, *APT, "-y", "install", package):
        return True
    say(f"{package} could not be installed; run: {manual}")
    return False


def make_venv(venv: Path) -> Path:
    """Create the environment if needed, anew where it has no working pip, and give its interpreter."""
    python = venv / "bin" / "python"
    if has_pip(python):
        return python
    if venv.exists() and not (venv / "pyvenv.cfg").exists() and (venv.is_file() or any(venv.iterdir())):
        fail(f"{venv} is not a virtual environment and would be cleared; name another folder with --venv")
    create = (sys.executable, "-m", "venv", "--clear", str(venv))
    if quiet(*create) and has_pip(python):
        return python
    apt(f"python{sys.version_info[0]}.{sys.version_info[1]}-venv")
    if not (quiet(*create) and has_pip(python)):
        fail(f"no environment with pip from: {shlex.join(create)}; run it to see why, then run this again")
    return python


def has_pip(python: Path) -> bool:
    return quiet(str(python), "-m", "pip", "--version")


def has_gpu() -> bool:
    return Path("/dev/nvidiactl").exists() and shutil.which("nvidia-smi") is not None


def install_torch(python: Path) -> None:
    """torch, the CPU build where there is no GPU: 200 MB instead of several GB."""
    check = f"import torch, sys; sys.exit(torch.__version__.split('+')[0] != '{TORCH}')"
    if quiet(str(python), "-c", check):
        return
    pip = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    if not has_gpu():
        say(f"installing torch {TORCH}, CPU build (about 200 MB)")
        if quiet(*pip, f"torch=={TORCH}+cpu"):
            return
        index = (*pip, "--index-url", TORCH_CPU_INDEX, f"torch=={TORCH}")
        if any(quiet(*index) for _ in range(TORCH_CPU_ATTEMPTS)):
            return
        large = shlex.join([str(python), "-m", "pip", "install", f"torch=={TORCH}"])
        fail(f"no CPU build of torch from {TORCH_CPU_INDEX}; run this again, or take the 3 GB with CUDA by: {large}")
    say(f"installing torch {TORCH} with CUDA (about 3 GB to download)")
    must(*pip, f"torch=={TORCH}")


def install_packages(python: Path, dev: bool) -> None:
    """The project, editable, with its extras, at the locked versions."""
    pip = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    constraints = ["-c", str(ROOT / "constraints.txt")]
    say("installing the packages (about 400 MB)")
    extras = "torch,llamacpp,plots,search" + (",nvidia" if has_gpu() else "")
    if dev:
        extras += ",judges"
    must(*pip, *constraints, "-e", f"{ROOT}[{extras}]")
    if dev:
        must(*pip, *constraints, "-r", str(ROOT / "requirements-dev.txt"))


def fingerprint(dev: bool) -> str:
    names = ["pyproject.toml", "constraints.txt", "requirements-dev.txt", "scripts/install.py"]
    return hashlib.sha256(b"\0".join((ROOT / name).read_bytes() for name in names)).hexdigest() + f" dev={dev}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="the environment's folder")
    parser.add_argument("--dev", action="store_true", help="also what tests and linters need")
    parser.add_argument("--apt", action="append", default=[], metavar="PACKAGE", help="also this Debian package")
    options = parser.parse_args()
    if sys.version_info < MINIMUM:
        say(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}; set PYTHON=python3.12")
        return EXIT_MISSING
    if sys.platform == "linux" and shutil.which("bwrap") is None:
        apt("bubblewrap")
    for package in options.apt:
        if not quiet("dpkg", "-s", package):
            apt(package)
    stamp = options.venv / ".installed"
    done = stamp.read_text() if stamp.exists() else ""
    if done in (fingerprint(True), fingerprint(options.dev)):
        return 0
    python = make_venv(options.venv)
    install_torch(python)
    install_packages(python, options.dev)
    stamp.write_text(fingerprint(options.dev))
    return 0


if __name__ == "__main__":
    sys.exit(main())
