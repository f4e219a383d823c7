"""How much a sandbox has written to the host's disk. Standard library only, for the warden.

Ordinary users cannot set quotas, so this looks: at the free space, which costs nothing, and only when that has fallen
by more than is allowed, or is nearly gone, at the files.
"""

import os
import time
from collections.abc import Sequence

RESERVE_BYTES = 2 << 30
"""Free space below which the files are looked at whatever has been written."""
PAUSE_S = 5.0
"""Least time between two looks at the files: they may be many, and others may fill the disk too."""


def free_bytes(folders: Sequence[str]) -> int:
    """Free space of the fullest of the folders' file systems, for ordinary users."""
    found = [os.statvfs(folder) for folder in folders]
    return min(stat.f_bavail * stat.f_frsize for stat in found)


def used_bytes(folders: Sequence[str], enough: int) -> int:
    """Disk space of all files below the folders; `enough` or more where it can no longer be counted.

    A file with several names counts once for each."""
    used = 0
    trouble: list[OSError] = []
    for folder in folders:
        try:
            for _, _, names, fd in os.fwalk(folder, onerror=trouble.append):
                for name in names:
                    try:
                        used += os.stat(name, dir_fd=fd, follow_symlinks=False).st_blocks * 512
                    except FileNotFoundError:
                        continue
                if used > enough:
                    return used
        except (RecursionError, OSError):
            return enough + 1  # a tree so deep hides what is in it
    if any(not isinstance(error, FileNotFoundError | PermissionError) for error in trouble):
        return enough + 1
    return used


class Quota:
    """Whether folders hold more than `limit` bytes; to be asked often."""

    def __init__(self, folders: Sequence[str], limit: int) -> None:
        self._folders, self._limit = folders, limit
        self._free = free_bytes(folders)
        self._looked = 0.0

    def exceeded(self) -> int | None:
        """The bytes that were found where they are more than allowed."""
        try:
            free = free_bytes(self._folders)
        except OSError:
            return None
        suspicious = self._free - free > self._limit or free < RESERVE_BYTES
        if not suspicious or time.monotonic() - self._looked < PAUSE_S:
            return None
        self._looked = time.monotonic()
        used = used_bytes(self._folders, self._limit)
        return used if used > self._limit else None
