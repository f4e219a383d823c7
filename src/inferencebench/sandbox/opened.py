"""Which files of given directories were opened, by whomever, between two moments: inotify(7) on every directory.

It watches the files themselves, so it sees through bind mounts into any sandbox. It tells nothing of who opened them.
"""

import contextlib
import ctypes
import os
import struct
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Self

IN_OPEN, IN_CREATE, IN_MOVED_TO, IN_ONLYDIR = 0x20, 0x100, 0x80, 0x1000000
IN_Q_OVERFLOW, IN_ISDIR = 0x4000, 0x40000000
MAX_DIRECTORIES = 2000
HEADER = struct.Struct("iIII")
"""struct inotify_event: watch, mask, cookie, length of the name."""


class OpenedFile(NamedTuple):
    """A file that was opened: its path inside the sandbox, and its size."""

    path: str
    bytes: int


class OpenedFiles:
    """A watch on directories by the path that they have inside. A context manager: it is closed at the end."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        """Begin. Where the kernel refuses, or there are too many directories, nothing is told (`found` gives None)."""
        self._fd = -1
        self._places: dict[int, tuple[str, Path]] = {}
        self._opened: dict[str, Path] = {}
        self._complete = sys.platform == "linux"
        if not self._complete:
            return
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self._complete = self._fd >= 0
        for inside, host in folders.items():
            self._watch(inside, host)

    def _watch(self, inside: str, host: Path) -> None:
        """A directory and those below it. (What is opened in a new one before it is watched is not seen.)"""
        for root, below, _ in os.walk(host):
            if len(self._places) >= MAX_DIRECTORIES or not self._complete:
                self._complete = False
                return
            mask = IN_OPEN | IN_CREATE | IN_MOVED_TO | IN_ONLYDIR
            number = self._libc.inotify_add_watch(self._fd, os.fsencode(root), mask)
            if number < 0:
                self._complete = False
                return
            relative = Path(root).relative_to(host).as_posix()
            self._places[number] = (inside if relative == "." else f"{inside}/{relative}", Path(root))
            below.sort()

    def look(self) -> None:
        """Read what the kernel has noted so far."""
        while self._fd >= 0:
            try:
                data = os.read(self._fd, 1 << 16)
            except OSError:
                return
            while data:
                number, mask, _, length = HEADER.unpack_from(data)
                name = os.fsdecode(data[HEADER.size : HEADER.size + length].rstrip(b"\0"))
                data = data[HEADER.size + length :]
                self._complete = self._complete and not mask & IN_Q_OVERFLOW
                if name and number in self._places:
                    self._note(number, mask, name)

    def _note(self, number: int, mask: int, name: str) -> None:
        inside, host = self._places[number]
        path = host / name
        if not mask & IN_ISDIR:
            if mask & IN_OPEN:
                self._opened[f"{inside}/{name}"] = path
        elif mask & (IN_CREATE | IN_MOVED_TO) and not path.is_symlink():
            self._watch(f"{inside}/{name}", path)

    def found(self, least_bytes: int = 0) -> tuple[OpenedFile, ...] | None:
        """Files of at least that size that were opened, the largest first; None where something may be missing."""
        self.look()
        if not self._complete:
            return None
        files = []
        for inside, host in self._opened.items():
            with contextlib.suppress(OSError):
                files.append(OpenedFile(inside, host.stat(follow_symlinks=False).st_size))
        return tuple(sorted((f for f in files if f.bytes >= least_bytes), key=lambda f: (-f.bytes, f.path)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the watch. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
