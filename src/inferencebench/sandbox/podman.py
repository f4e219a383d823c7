"""Back end `podman`: the same walls by podman, without an image: its root is an empty directory with bind mounts.

Every sandbox has a storage of its own in a private directory, so nothing of it is left and no other container is seen.
Inside, user 1000 stands for the harness's own user, as with bubblewrap; podman's default system-call filter applies.
"""

import functools
import os
import resource
import shutil
from pathlib import Path
from typing import IO

from inferencebench.errors import MissingError
from inferencebench.sandbox import containers, gpu
from inferencebench.sandbox.bubblewrap import try_once
from inferencebench.sandbox.containers import Place
from inferencebench.sandbox.contract import Probe, SandboxProcess, SandboxSpec
from inferencebench.sandbox.namespaces import CONTAINED_FDS

INSTALL = "sudo apt install podman runc uidmap"
RUNTIMES = ("crun", "runc")
"""The first that works here is used: crun refuses control groups of both versions at once."""
MOST_PROCESSES, MOST_FILES = 16384, 1 << 20
"""Upper bounds of two limits that podman otherwise raises, which needs a right that not every root has."""


class Podman:
    """Namespaces and a system-call filter by podman and an OCI runtime."""

    name = "podman"
    verified = True

    def probe(self) -> Probe:
        """Start a command that does nothing, and reach for its network."""
        version = containers.version("podman")
        if version is None:
            return Probe(False, "podman is not installed", INSTALL)
        runtime, reason = working_runtime()
        return Probe(True, f"{version}, {runtime}") if runtime else Probe(False, reason, INSTALL)

    def start(self, spec: SandboxSpec, argv: list[str], stdout: IO[bytes], stderr: IO[bytes]) -> SandboxProcess:
        """Start `argv` behind the walls. Raises MissingError when no runtime works."""
        runtime, reason = working_runtime()
        if runtime is None:
            raise MissingError(f"sandbox: podman does not work here ({reason}): {INSTALL}")
        return _start(runtime, spec, argv, stdout, stderr)


@functools.cache
def working_runtime() -> tuple[str | None, str]:
    """The first OCI runtime by which a container starts here, or None and why not; tried once per process."""
    reason = f"neither {' nor '.join(RUNTIMES)} is installed"
    for runtime in filter(shutil.which, RUNTIMES):
        found = try_once(functools.partial(_start, runtime))
        if found.ok:
            return runtime, ""
        reason = found.detail
    return None, reason


def _start(runtime: str, spec: SandboxSpec, argv: list[str], stdout: IO[bytes], stderr: IO[bytes]) -> SandboxProcess:
    program = shutil.which("podman")
    if program is None:
        raise MissingError(f"sandbox: podman is not installed: {INSTALL}")
    wanted = containers.places(spec)
    inside = containers.Inside(spec, argv, stdout, stderr)
    return containers.start(inside, wanted, lambda private: command(program, runtime, private, spec, wanted), {})


def command(program: str, runtime: str, private: Path, spec: SandboxSpec, wanted: list[Place]) -> list[str]:
    """The command line up to the program inside."""
    store = ["--root", str(private / "storage"), "--runroot", str(private / "run"), "--storage-driver", "vfs"]
    line = [program, *store, "--runtime", runtime, "--cgroup-manager", "cgroupfs", "--events-backend", "none"]
    line += ["run", "--rm", "--quiet", "--log-driver", "none", "--preserve-fds", str(CONTAINED_FDS)]
    line += ["--network", "none", "--no-hosts", "--hostname", "sandbox", "--workdir", spec.cwd, "--sig-proxy=false"]
    line += ["--cap-drop", "all", "--security-opt", "no-new-privileges", "--read-only", "--read-only-tmpfs=false"]
    line += ["--user", "1000:1000", *_user_mapping(), "--pids-limit", "-1", "--systemd", "false"]
    for name, most, own in (
        ("nproc", MOST_PROCESSES, resource.RLIMIT_NPROC),
        ("nofile", MOST_FILES, resource.RLIMIT_NOFILE),
    ):
        hard = resource.getrlimit(own)[1]
        value = most if hard == resource.RLIM_INFINITY else min(most, hard)
        line += ["--ulimit", f"{name}={value}:{value}"]
    for place in wanted:
        line += _mount(place)
    for node in gpu.nodes(spec.gpus):
        line += ["--device", node]
    return [*line, "--rootfs", str(private / "root")]


def _user_mapping() -> list[str]:
    """User 1000 inside is our own user outside; the container's root is nobody's."""
    if os.geteuid() != 0:
        return ["--userns", "keep-id:uid=1000,gid=1000"]
    return [word for kind in ("uid", "gid") for word in (f"--{kind}map", "1000:0:1", f"--{kind}map", "0:100000:1000")]


def _mount(place: Place) -> list[str]:
    """The option for one place. Memory is open to all inside, since its owner is the container's root."""
    if place.kind == "memory":
        return ["--tmpfs", f"{place.target}:rw,nosuid,nodev,size={place.size},mode=1777,notmpcopyup"]
    if place.kind == "empty":
        return ["--tmpfs", f"{place.target}:ro,nosuid,nodev,size=4096,mode=755,notmpcopyup"]
    fields = ["type=bind", f"source={place.source}", f"destination={place.target}"]
    fields.append(f"ro={'false' if place.writable else 'true'}")
    quoted = ('"' + field.replace('"', '""') + '"' if set(field) & {",", '"'} else field for field in fields)
    return ["--mount", ",".join(quoted)]
