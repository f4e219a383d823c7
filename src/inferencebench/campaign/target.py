"""Where a campaign is copied to: any file system that fsspec knows, behind one small class."""

import json
import posixpath
import time
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from inferencebench.errors import InfrastructureError, MissingError, UserError

ATTEMPTS = 4
BACKOFF_S = 1.0
"""Before the second attempt of a call that failed; doubles with each."""
T = TypeVar("T")


class Target:
    """A folder on a file system. Every call is tried again a few times: networks fail.

    A file appears whole or not at all: an object store makes it visible when it is complete, elsewhere it is written
    beside its place and moved there."""

    def __init__(self, system: Any, root: str) -> None:
        self._fs, self.root = system, root.rstrip("/")
        protocols = {system.protocol} if isinstance(system.protocol, str) else set(system.protocol)
        self._moves = bool(protocols & {"file", "local", "sftp", "ssh", "smb"})

    def sizes(self) -> dict[str, int]:
        """Bytes of every file there, by path under the root."""
        self._fs.invalidate_cache()
        found = self._try("list", lambda: self._fs.find(self.root, detail=True) if self._fs.exists(self.root) else {})
        prefix = f"{self._path('')}".lstrip("/")
        return {name.lstrip("/").removeprefix(prefix): int(row["size"]) for name, row in found.items()}

    def put(self, files: Sequence[tuple[Path, str]]) -> None:
        """Copy these files, each to its path under the root."""
        if self._moves or not self._fs.async_impl:
            for source, name in files:
                self._try(f"write {name}", partial(self._put_one, source, name))
        else:
            names = [self._path(name) for _, name in files]
            self._try(f"write {len(names)} files", lambda: self._fs.put([str(f) for f, _ in files], names))

    def get(self, name: str) -> bytes | None:
        """Content of a file; None when it is not there."""
        try:
            return bytes(self._try(f"read {name}", lambda: self._fs.cat_file(self._path(name))))
        except FileNotFoundError:
            return None

    def _put_one(self, source: Path, name: str) -> None:
        final = self._path(name)
        self._fs.makedirs(posixpath.dirname(final), exist_ok=True)
        if not self._moves:
            self._fs.put_file(str(source), final)
            return
        part = f"{final}.{uuid.uuid4().hex[:8]}.part"
        try:
            self._fs.put_file(str(source), part)
            if self._fs.exists(final):
                self._fs.rm_file(final)
            self._fs.mv(part, final)
        except BaseException:
            if self._fs.exists(part):
                self._fs.rm_file(part)
            raise

    def _path(self, name: str) -> str:
        return f"{self.root}/{name}"

    def _try(self, what: str, call: Callable[[], T]) -> T:
        """The call's result. Raises FileNotFoundError as it is, InfrastructureError for what goes on failing."""
        for attempt in range(ATTEMPTS):
            try:
                return call()
            except FileNotFoundError:
                raise
            except Exception as error:  # every file system has errors of its own
                if attempt == ATTEMPTS - 1 or isinstance(error, PermissionError):
                    said = (str(error).strip() or type(error).__name__).splitlines()[0]
                    raise InfrastructureError(f"{self.root}: cannot {what}: {said[:300]}") from None
                time.sleep(BACKOFF_S * 2**attempt)
        raise AssertionError


def target(url: str, options: Sequence[str]) -> Target:
    """The folder at `url`; `options`: NAME=VALUE as the file system takes them, a value may be JSON.

    Raises MissingError without fsspec or the package of that protocol, UserError for a bad URL or option."""
    if find_spec("fsspec") is None:
        raise MissingError("fsspec is not installed; pip install 'inferencebench[sync]'")
    import fsspec

    try:
        system, root = fsspec.core.url_to_fs(url, **dict(map(_option, options)))
    except ImportError as error:
        raise MissingError(f"{url}: {error}") from None
    except (ValueError, TypeError, OSError) as error:
        raise UserError(f"{url}: not a place that fsspec can open: {error}") from None
    return Target(system, str(root))


def _option(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise UserError(f"--option {text}: give NAME=VALUE, such as endpoint_url=https://…")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
