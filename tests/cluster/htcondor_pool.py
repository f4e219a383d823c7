"""A real HTCondor pool of two nodes on this machine, with a fake GPU each, private to the test session.

HTCondor takes no jobs from root, so that its daemons and commands run as an ordinary user of a user namespace of
their own, who is the tests' user outside. Where the distribution has no HTCondor they run in a Debian that has.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

MADE = Path(__file__).parents[2] / ".htcondor"
"""What scripts/htcondor.py made."""
SYSTEM = {"bin", "sbin", "lib", "lib64", "usr", "etc", "var", "boot", "dev", "proc", "sys", "run"}
USER = "condor-tests"
COMMANDS = ("condor_submit", "condor_q", "condor_rm", "condor_hold", "condor_vacate_job", "condor_status")
CONFIG = """\
LOCAL_DIR = {folder}
LOG = {folder}/log
SPOOL = {folder}/spool
LOCK = {folder}/lock
RUN = {folder}/run
EXECUTE = {folder}/n1
RELEASE_DIR = /usr
LIBEXEC = /usr/libexec/condor
CONDOR_HOST = 127.0.0.1
COLLECTOR_HOST = 127.0.0.1:{port}
NETWORK_INTERFACE = 127.0.0.1
USE_SHARED_PORT = False
use security:user_based
DAEMON_LIST = MASTER, COLLECTOR, NEGOTIATOR, SCHEDD, N1, N2
N1 = $(STARTD)
N1_ARGS = -local-name n1
N1.STARTD_NAME = n1
N1.STARTD_LOG = {folder}/log/n1
N2 = $(STARTD)
N2_ARGS = -local-name n2
N2.STARTD_NAME = n2
N2.STARTD_LOG = {folder}/log/n2
N2.EXECUTE = {folder}/n2
NUM_CPUS = 1
MEMORY = 2000
MACHINE_RESOURCE_GPUs = GPU-$(LOCALNAME)
USE_PROCD = False
RUNBENCHMARKS = False
MASTER_BACKOFF_CONSTANT = 1
UPDATE_INTERVAL = 5
SCHEDD_INTERVAL = 2
NEGOTIATOR_INTERVAL = 2
NEGOTIATOR_CYCLE_DELAY = 1
NEGOTIATOR_MIN_INTERVAL = 1
PERIODIC_EXPR_INTERVAL = 2
CLAIM_WORKLIFE = 0
"""
"""Two machines in one: each takes one job with its GPU. A claim is given back after each job, as pools that are shared
do, and all waiting is short."""
READY_S = 60.0
SMALL: dict[str, str | int | float | bool | list[str]] = {"cpus": 1, "memory": "900MB", "disk": "1GB"}
"""The options of a job of which each node takes one."""


def root() -> Path | None:
    """The root directory of an operating system with HTCondor; None: there is none here."""
    return Path("/") if shutil.which("condor_master") else MADE if MADE.exists() else None


class Pool:
    """The daemons, and the commands that a submit node has."""

    def __init__(self, system: Path, folder: Path, port: int) -> None:
        self.folder, self.bin = folder, folder / "bin"
        for name in ("bin", "log", "spool", "lock", "run", "n1", "n2"):
            (folder / name).mkdir()
        (folder / "condor_config").write_text(CONFIG.format(folder=folder, port=port))
        for name, extra in (("passwd", f"{USER}:x:1000:1000::{folder}:/bin/sh"), ("group", f"{USER}:x:1000:")):
            lines = (system / "etc" / name).read_text().splitlines()
            (folder / name).write_text("\n".join([*(x for x in lines if ":1000:" not in x), extra]) + "\n")
        self._inside = _inside(system, folder)
        for name in COMMANDS:
            words = " ".join(f"'{word}'" for word in self._inside)
            (self.bin / name).write_text(f'#!/bin/sh\nexec {words} --chdir "$PWD" /usr/bin/{name} "$@"\n')
            (self.bin / name).chmod(0o755)
        self._master: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the daemons, which end with this process."""
        argv = [*self._inside, "--die-with-parent", "--unshare-pid", "condor_master", "-f"]
        self._master = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def wait_nodes(self, wanted: set[str], limit_s: float = READY_S) -> None:
        """Until just these nodes are in the pool."""
        deadline = time.monotonic() + limit_s
        while (found := self._nodes()) != wanted:
            assert time.monotonic() < deadline, f"not {wanted} but {found}: see {self.folder}/log"
            time.sleep(0.3)

    def lose(self, node: str) -> None:
        """The node loses its power: its daemon, its starters and what they started are killed at once. The master
        starts it again."""
        startd = self._find("condor_startd", node)
        for process in [startd, *startd.children(recursive=True)]:
            process.kill()

    def restart_schedd(self) -> None:
        """`kill -9` of the daemon that holds the queue; the master starts it again."""
        self._find("condor_schedd").kill()

    @contextmanager
    def without_queue(self) -> Iterator[None]:
        """The daemon that holds the queue is dead, and nobody starts it again until the end of the block."""
        master = self._find("condor_master")
        master.suspend()
        self.restart_schedd()
        try:
            yield
        finally:
            master.resume()

    def stop(self) -> None:
        """End every daemon and job."""
        if self._master:
            for process in psutil.Process(self._master.pid).children():  # the first process of their namespace
                process.kill()
            self._master.wait(20)

    def _nodes(self) -> set[str]:
        argv = [str(self.bin / "condor_status"), "-af", "Name"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        return {line.split("@")[-2] for line in done.stdout.splitlines()}

    def _find(self, name: str, word: str = "") -> psutil.Process:
        assert self._master
        daemons = psutil.Process(self._master.pid).children(recursive=True)
        return next(p for p in daemons if p.name() == name and (not word or word in p.cmdline()))


def _inside(system: Path, folder: Path) -> list[str]:
    """The start of a command in the user namespace: another system's directories, and everything else of this one."""
    argv = ["bwrap", "--unshare-user", "--uid", "1000", "--gid", "1000", "--bind", str(system), "/"]
    argv += ["--dev-bind", "/dev", "/dev", "--proc", "/proc", "--ro-bind", "/sys", "/sys"]
    if system != Path("/"):
        shared = [path for path in Path("/").iterdir() if path.is_dir() and not path.is_symlink()]
        for path in [*(p for p in shared if p.name not in SYSTEM), Path("/usr/local")]:
            argv += ["--bind", str(path), str(path)]
    for name in ("passwd", "group"):
        argv += ["--ro-bind", str(folder / name), f"/etc/{name}"]
    argv += ["--ro-bind", "/etc/hosts", "/etc/hosts"]
    return [*argv, "--setenv", "CONDOR_CONFIG", str(folder / "condor_config")]


def missing() -> str | None:
    """Why there can be no pool here."""
    if root() is None:
        return "needs HTCondor: python3 scripts/htcondor.py .htcondor"
    if root() != Path("/") and Path(sys.executable).resolve().is_relative_to("/usr/bin"):
        return "needs HTCondor of this system, or a Python that is not this system's"
    return None


@contextmanager
def running(folder: Path, port: int) -> Iterator[Pool]:
    """A pool; its commands are first on the PATH while it runs."""
    system = root()
    assert system, missing()
    pool = Pool(system, folder, port)
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{pool.bin}:{before}"
    try:
        pool.start()
        pool.wait_nodes({"n1", "n2"})
        yield pool
    finally:
        pool.stop()
        os.environ["PATH"] = before
