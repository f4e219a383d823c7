"""Freezing: from an untrusted submission directory to a copy that is named by its content.

Only regular files and symlinks that stay inside are taken, opened without following links; all else is left out and
said so. Nothing of the copy is executed outside a sandbox.
"""

import difflib
import hashlib
import os
import stat
from pathlib import Path

from inferencebench.files import sha256_json
from inferencebench.run.record import FrozenFile, Manifest

MAX_DIFF_BYTES = 200_000
"""Larger files are named in the diff, not shown."""


class SubmissionTooLarge(Exception):
    """The submission exceeds the suite's size limit."""


def freeze(source: Path, target: Path, limit_bytes: int) -> Manifest:
    """Copy the submission `source` to the empty or missing `target` and describe it.

    Raises SubmissionTooLarge when it has more than `limit_bytes` bytes."""
    target.mkdir(parents=True, exist_ok=True)
    files: list[FrozenFile] = []
    left_out: list[str] = []
    total = 0
    for folder, folders, names in os.walk(source, followlinks=False):
        relative = Path(folder).relative_to(source)
        (target / relative).mkdir(exist_ok=True)
        for name in sorted([*names, *(d for d in folders if (Path(folder) / d).is_symlink())]):
            inside = (relative / name).as_posix()
            mode = (Path(folder) / name).lstat().st_mode
            if stat.S_ISREG(mode):
                file = _copy(Path(folder) / name, target / inside, inside, limit_bytes - total)
                total += file.bytes
                files.append(file)
            elif stat.S_ISLNK(mode) and _stays_inside(source, Path(folder) / name):
                link = os.readlink(Path(folder) / name)
                (target / inside).symlink_to(link)
                digest = hashlib.sha256(b"link:" + os.fsencode(link)).hexdigest()
                files.append(FrozenFile(path=inside, sha256=digest, bytes=0, executable=False))
            else:
                left_out.append(f"{inside}: {_kind(mode)}")
    files.sort(key=lambda f: f.path)
    digest = sha256_json([[f.path, f.sha256, f.executable] for f in files])
    return Manifest(files=tuple(files), left_out=tuple(left_out), sha256=digest, bytes=total)


def diff(before: Path | None, after: Path, manifest: Manifest) -> str:
    """Unified diff of the text files of a frozen submission against the directory it started from (None: empty)."""
    parts: list[str] = []
    for file in manifest.files:
        new = _text(after / file.path)
        if new is None:
            parts.append(f"Binary or large file: {file.path} ({file.bytes} bytes, sha256 {file.sha256})\n")
            continue
        old = (_text(before / file.path) if before else None) or []
        parts.extend(difflib.unified_diff(old, new, f"start/{file.path}", f"submission/{file.path}"))
    return "".join(line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in parts)


def _copy(source: Path, target: Path, inside: str, room: int) -> FrozenFile:
    digest, size = hashlib.sha256(), 0
    fd = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(fd, "rb") as reader, target.open("xb") as writer:
        executable = bool(os.fstat(reader.fileno()).st_mode & stat.S_IXUSR)
        while block := reader.read(1 << 20):
            size += len(block)
            if size > room:
                raise SubmissionTooLarge(f"{inside}: the submission exceeds its size limit")
            digest.update(block)
            writer.write(block)
    target.chmod(0o755 if executable else 0o644)
    return FrozenFile(path=inside, sha256=digest.hexdigest(), bytes=size, executable=executable)


def _stays_inside(root: Path, link: Path) -> bool:
    target = os.readlink(link)
    if os.path.isabs(target):
        return False
    joined = os.path.normpath(link.parent.relative_to(root) / target)
    return joined != ".." and not joined.startswith("../")


def _kind(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "a link that leaves the submission"
    return "not a regular file"


def _text(path: Path) -> list[str] | None:
    """Lines of a small text file; None for a binary, large or missing one."""
    try:
        if path.is_symlink() or path.stat().st_size > MAX_DIFF_BYTES:
            return None
        return path.read_text(encoding="utf-8").splitlines(keepends=True)
    except (OSError, UnicodeDecodeError):
        return None
