"""Back end `apptainer`: the walls of Apptainer (once Singularity), which clusters have, without an image.

For ordinary users: as root it would leave the command root's own files. Its places in memory are private directories
on disk, since it bounds none. It shows the network `none`, which its administrator may have to allow.
"""

import os
import shutil
from pathlib import Path
from typing import IO

from inferencebench.errors import MissingError
from inferencebench.sandbox import containers, gpu
from inferencebench.sandbox.bubblewrap import try_once
from inferencebench.sandbox.containers import Place
from inferencebench.sandbox.contract import Probe, SandboxProcess, SandboxSpec

INSTALL = "install Apptainer 1.1 or later with user namespaces: https://apptainer.org/docs/admin/main/installation.html"
NETWORK = "if it refuses the network: 'allow net users' and 'allow net networks = none' in apptainer.conf"


class Apptainer:
    """Namespaces by Apptainer, for ordinary users."""

    name = "apptainer"
    verified = True

    def probe(self) -> Probe:
        """Start a command that does nothing, and reach for its network."""
        version = containers.version("apptainer")
        if version is None:
            return Probe(False, "apptainer is not installed", INSTALL)
        if os.geteuid() == 0:
            return Probe(False, f"{version}: not as root, whose files it would leave open", "run as an ordinary user")
        found = try_once(self.start)
        return Probe(True, version) if found.ok else Probe(False, found.detail, NETWORK)

    def start(self, spec: SandboxSpec, argv: list[str], stdout: IO[bytes], stderr: IO[bytes]) -> SandboxProcess:
        """Start `argv` behind the walls. Raises MissingError where the program is absent."""
        program = shutil.which("apptainer")
        if program is None:
            raise MissingError(f"sandbox: apptainer is not installed: {INSTALL}")
        wanted = [*containers.places(spec), *containers.cpu_facts()]
        return containers.start(
            containers.Inside(spec, argv, stdout, stderr),
            wanted,
            lambda private: command(program, private, spec, wanted),
            {"tmpfs": "not enforced: apptainer bounds no directory"},
        )


def command(program: str, private: Path, spec: SandboxSpec, wanted: list[Place]) -> list[str]:
    """The command line up to the program inside; makes the private directories that it names."""
    line = [program, "--silent", "exec", "--userns", "--pid", "--ipc", "--uts", "--net", "--network", "none"]
    line += ["--contain", "--cleanenv", "--no-home", "--no-privs", "--no-mount", "hostfs,bind-paths,cwd,tmp,home"]
    line += ["--hostname", "sandbox", "--pwd", spec.cwd]
    for number, place in enumerate(wanted):
        source = place.source
        if source is None:
            source = private / f"place-{number}"
            source.mkdir(mode=0o700)
        line += ["--bind", f"{source}:{place.target}:{'rw' if place.writable else 'ro'}"]
    for node in gpu.nodes(spec.gpus):
        line += ["--bind", f"{node}:{node}:rw"]
    return [*line, str(private / "root")]
