"""Removing a directory that a sandbox could write to: whatever it holds, neither depth nor modes stop it."""

import contextlib
import os
import stat


def remove_tree(root: str | os.PathLike[str]) -> None:
    """Remove `root` and all in it. Best effort: what cannot be removed stays. Nothing inside may run any more.

    Directories are moved up to the root before they are emptied, so that the depth costs neither recursion, nor
    descriptors, nor a path longer than the system takes."""
    try:
        if stat.S_ISDIR(os.lstat(root).st_mode):
            os.chmod(root, 0o700)
        fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return
    try:
        _remove_folders(fd, _empty(fd))
    finally:
        os.close(fd)
    with contextlib.suppress(OSError):
        os.rmdir(root)


def _remove_folders(root: int, pending: list[str]) -> None:
    """Remove the directories `pending` of the open directory `root`, and what is moved there on the way."""
    prefix = f".removed-{os.urandom(8).hex()}"  # names that nothing inside has
    moved = 0
    while pending:
        name = pending.pop()
        with contextlib.suppress(OSError):
            folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=root)
            try:
                for child in _empty(folder):
                    moved += 1
                    os.rename(child, f"{prefix}-{moved}", src_dir_fd=folder, dst_dir_fd=root)
                    pending.append(f"{prefix}-{moved}")
            finally:
                os.close(folder)
            os.rmdir(name, dir_fd=root)


def _empty(folder: int) -> list[str]:
    """Unlink all that is no directory; the names of the directories, made ours to read and change."""
    found = []
    for name in os.listdir(folder):
        with contextlib.suppress(OSError):
            if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                os.chmod(name, 0o700, dir_fd=folder)
                found.append(name)
            else:
                os.unlink(name, dir_fd=folder)
    return found
