"""What to do when a back end does not work: texts that are shown, never applied."""

from pathlib import Path

INSTALL = "sudo apt install bubblewrap  (Fedora: dnf install bubblewrap, Arch: pacman -S bubblewrap)"

APPARMOR_PROFILE = """\
abi <abi/4.0>,
include <tunables/global>
profile bwrap /usr/bin/bwrap flags=(unconfined) {
  userns,
  include if exists <local/bwrap>
}
"""
"""Allows user namespaces for bubblewrap alone, on systems that forbid them to all but named programs."""

APPARMOR = (
    "Ubuntu's AppArmor forbids unprivileged user namespaces. Allow them for bubblewrap alone: write this to "
    f"/etc/apparmor.d/bwrap and run 'sudo apparmor_parser -r /etc/apparmor.d/bwrap':\n{APPARMOR_PROFILE}"
    "or, for every program until the next boot: sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
)
CLONE = "sudo sysctl -w kernel.unprivileged_userns_clone=1"
COUNT = "sudo sysctl -w user.max_user_namespaces=15000"
CONTAINER = (
    "inside a container: start it with '--security-opt seccomp=unconfined --security-opt apparmor=unconfined "
    "--security-opt systempaths=unconfined' (podman: '--security-opt unmask=ALL'), or run on the host"
)

_SWITCHES = (
    ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", APPARMOR),
    ("/proc/sys/kernel/unprivileged_userns_clone", "0", CLONE),
    ("/proc/sys/user/max_user_namespaces", "0", COUNT),
)
"""Kernel switches that refuse namespaces: file, the refusing value, and the way out."""


def bubblewrap_remedy(error: str, root: Path = Path("/")) -> str:
    """The way out of a refusal, from the kernel's switches under `root`; empty for an error of another kind."""
    refused = any(word in error.lower() for word in ("permission", "permitted", "no space left"))
    if not refused:
        return ""
    for file, value, remedy in _SWITCHES:
        switch = root / file.lstrip("/")
        if switch.exists() and switch.read_text().strip() == value:
            return remedy
    return CONTAINER
