"""Freezing: from an untrusted submission directory to a copy that is named by its content.

The directory may change while it is read, and may hold anything. It is walked by directory descriptors only, so that no
component of a path can be exchanged for a link. Regular files, and symlinks that cannot lead out, are taken; all else
is left out and said so. Nothing of the copy is executed outside a sandbox.
"""

import contextlib
import difflib
import errno
import hashlib
import io
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from inferencebench.errors import InfrastructureError
from inferencebench.files import sha256_file, sha256_json
from inferencebench.run.record import FrozenFile, Manifest
from inferencebench.serve.text import printable

MAX_ENTRIES = 50_000
"""Files, links and directories together."""
MAX_DEPTH = 64
MAX_PATH_BYTES = 1024
"""Of a path inside the submission: with the directory it is copied to, it stays a path that the system takes."""
MAX_DIFF_FILE_BYTES = 200_000
"""Larger files are named in the diff, not shown."""
MAX_DIFF_BYTES = 1_000_000

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
BLOCK = 1 << 20
HOST_ERRORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO})
"""Errors of opening and reading that are ours, not the submission's."""


class NotFreezable(Exception):
    """The submission is not a directory that can be frozen; the text is one printable line that says why."""


def freeze(source: Path, target: Path, limit_bytes: int) -> Manifest:
    """Copy the submission `source` to the empty or missing `target` and describe it.

    Raises NotFreezable when it is no directory, has more than `limit_bytes` bytes, or too many or too deep entries;
    InfrastructureError when this machine cannot read or write."""
    try:
        root = os.open(source, FOLDER)
    except OSError as error:
        if error.errno in HOST_ERRORS:
            raise InfrastructureError(f"freeze: {error}") from None
        raise NotFreezable(f"the submission is not a directory that can be read: {error.strerror}") from None
    try:
        target.mkdir(parents=True, exist_ok=True)
        copy = _Copy(limit_bytes)
        copy.folder(root, target, "", 0)
    except OSError as error:
        raise InfrastructureError(f"freeze: {printable(str(error))}") from None
    finally:
        os.close(root)
    files = tuple(sorted(copy.files, key=lambda file: file.path))
    digest = sha256_json([[file.path, file.sha256, file.executable] for file in files])
    return Manifest(files=files, left_out=tuple(copy.left_out), sha256=digest, bytes=copy.bytes)


def changed(folder: Path, frozen: Iterable[FrozenFile]) -> str | None:
    """The first frozen file that is in `folder` with another content; None when there is none. Files may be absent."""
    return next((file.path for file in frozen if not _same(folder / file.path, file)), None)


def _same(path: Path, file: FrozenFile) -> bool:
    """Whether a file is as it was frozen, or gone; its length comes first, since hashing weights takes seconds."""
    try:
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            return _link_sha256(os.readlink(path)) == file.sha256
        return stat.S_ISREG(status.st_mode) and status.st_size == file.bytes and sha256_file(path) == file.sha256
    except FileNotFoundError:
        return True
    except OSError:
        return False


def _link_sha256(leads_to: str) -> str:
    return hashlib.sha256(b"link:" + os.fsencode(leads_to)).hexdigest()


def diff(before: Path | None, after: Path, manifest: Manifest) -> str:
    """Unified diff of the text files of a frozen submission against the directory it started from (None: empty).

    At most MAX_DIFF_BYTES; where it ends early, its last line says so."""
    parts: list[str] = []
    room = MAX_DIFF_BYTES
    for number, file in enumerate(manifest.files):
        part = _file_diff(before, after, file)
        room -= len(part.encode())
        if room < 0:
            left = len(manifest.files) - number
            parts.append(f"Cut at {MAX_DIFF_BYTES} bytes: {left} more files are not shown\n")
            break
        parts.append(part)
    return "".join(parts)


def _file_diff(before: Path | None, after: Path, file: FrozenFile) -> str:
    name = printable(file.path, MAX_PATH_BYTES)
    new = text_lines(after / file.path)
    if new is None:
        return f"Link, binary or large file: {name} ({file.bytes} bytes, sha256 {file.sha256})\n"
    old = (text_lines(before / file.path) if before else None) or []
    lines = difflib.unified_diff(old, new, f"start/{name}", f"submission/{name}")
    return "".join(line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in lines)


class _Copy:
    """One pass over a submission."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.bytes = 0
        self.entries = 0
        self.files: list[FrozenFile] = []
        self.left_out: list[str] = []

    def folder(self, fd: int, target: Path, inside: str, depth: int) -> None:
        """Copy the open directory `fd`, whose path in the submission is `inside`, into the existing `target`."""
        if depth > MAX_DEPTH:
            raise NotFreezable(f"the submission is nested more than {MAX_DEPTH} directories deep")
        for name in self._names(fd):
            path = f"{inside}/{name}" if inside else name
            try:
                encoded = path.encode()
            except UnicodeEncodeError:
                self._leave_out(path, "its name is not UTF-8")
                continue
            if len(encoded) > MAX_PATH_BYTES:
                raise NotFreezable(f"{printable(path, 80)}: its path is longer than {MAX_PATH_BYTES} bytes")
            self._entry(fd, name, target / name, path, depth)

    def _names(self, fd: int) -> list[str]:
        """Sorted, each once: a directory that changes may name an entry twice."""
        found: set[str] = set()
        with contextlib.suppress(FileNotFoundError), os.scandir(fd) as entries:  # it was removed while open
            for entry in entries:
                self.entries += 1
                if self.entries > MAX_ENTRIES:
                    raise NotFreezable(f"the submission has more than {MAX_ENTRIES} files and directories")
                found.add(entry.name)
        return sorted(found)

    def _entry(self, parent: int, name: str, target: Path, path: str, depth: int) -> None:
        """Copy one entry by its kind; what changed its kind meanwhile is not opened, or is refused once open."""
        try:
            mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
            if stat.S_ISLNK(mode):
                leads_to = os.readlink(name, dir_fd=parent)
            elif stat.S_ISDIR(mode):
                fd = os.open(name, FOLDER, dir_fd=parent)
            elif stat.S_ISREG(mode):
                fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=parent)
            else:
                self._leave_out(path, "not a regular file")
                return
        except OSError as error:
            if error.errno in HOST_ERRORS:
                raise
            self._leave_out(path, f"it cannot be read: {error.strerror}")
            return
        if stat.S_ISLNK(mode):
            self._link(leads_to, target, path, depth)
        elif stat.S_ISDIR(mode):
            try:
                target.mkdir()
                self.folder(fd, target, path, depth + 1)
            finally:
                os.close(fd)
        else:
            with os.fdopen(fd, "rb", buffering=0) as reader:
                self._file(reader, target, path)

    def _link(self, leads_to: str, target: Path, path: str, depth: int) -> None:
        if not _stays_inside(leads_to, depth):
            self._leave_out(path, "a link that leaves the submission, or might")
            return
        target.symlink_to(leads_to)
        self.files.append(FrozenFile(path=path, sha256=_link_sha256(leads_to), bytes=0, executable=False))

    def _file(self, reader: io.FileIO, target: Path, path: str) -> None:
        status = os.fstat(reader.fileno())
        if not stat.S_ISREG(status.st_mode):
            self._leave_out(path, "not a regular file")
            return
        executable = bool(status.st_mode & stat.S_IXUSR)
        digest, size = hashlib.sha256(), 0
        with target.open("xb") as writer:
            while block := reader.read(BLOCK):
                size += len(block)
                if self.bytes + size > self.limit_bytes:
                    raise NotFreezable(f"{printable(path)}: with it, the submission exceeds its size limit")
                digest.update(block)
                writer.write(block)
        target.chmod(0o755 if executable else 0o644)
        self.bytes += size
        self.files.append(FrozenFile(path=path, sha256=digest.hexdigest(), bytes=size, executable=executable))

    def _leave_out(self, path: str, why: str) -> None:
        self.left_out.append(f"{printable(path, MAX_PATH_BYTES)}: {why}")


def _stays_inside(leads_to: str, depth: int) -> bool:
    """Whether a link, `depth` directories below the root, cannot lead out, whatever other links are on its way.

    `..` may only come first, where it climbs real directories: after a name that is itself a link, it climbs from
    wherever that one leads. If all links obey this, none leaves."""
    if os.path.isabs(leads_to):
        return False
    parts = [part for part in leads_to.split("/") if part not in ("", ".")]
    climbs = next((number for number, part in enumerate(parts) if part != ".."), len(parts))
    return climbs <= depth and ".." not in parts[climbs:]


def text_lines(path: Path) -> list[str] | None:
    """Lines of a small text file, cut at line feeds only; None for a link and for a binary, large or missing one."""
    try:
        if path.is_symlink() or path.stat().st_size > MAX_DIFF_FILE_BYTES:
            return None
        return list(io.StringIO(path.read_bytes().decode(), newline="\n"))
    except (OSError, UnicodeDecodeError):
        return None
