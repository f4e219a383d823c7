"""The checkpoint cache: one directory per model source, built once, named by content and verified when used.

Layout under `cache/checkpoints/<slug>-<8 hex>/`: `model/` (what a server sees as `$MODEL_PATH`) and `manifest.json`
(sha256, size and modification time of every file). The manifest lies beside the model so that the model directory holds
nothing that a model directory would not. It is written last, before one rename puts the whole entry in its place.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from pydantic import ValidationError

from inferencebench.errors import InfrastructureError, UserError
from inferencebench.files import sha256_file, sha256_json, write_json
from inferencebench.models import sources
from inferencebench.suites.model import Model, ModelSource, Record

STORE_VERSION = 1
"""Part of an entry's name: bumped when `sources` writes other bytes for the same model."""

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk."""

    path: Path
    """Directory with `config.json`, `*.safetensors` and the tokenizer."""
    sha256: str
    """Hash of the canonical JSON of `files`: the identity of the checkpoint in records."""
    files: dict[str, str]
    """Hex SHA-256 by path relative to `path`."""

    @classmethod
    def of(cls, path: Path, files: dict[str, str]) -> "Checkpoint":
        """The checkpoint with these files."""
        return cls(path=path, sha256=sha256_json(files), files=files)


class _File(Record):
    sha256: str
    bytes: int
    mtime_ns: int


class _Manifest(Record):
    store_version: int
    model: str
    source: ModelSource
    files: dict[str, _File]


def ensure_checkpoint(
    model: Model,
    cache: Path,
    *,
    force_source: str | None = None,
    progress: Progress | None = None,
    verify: bool = False,
) -> Checkpoint:
    """The checkpoint of `model`, built into `cache` if it is not there. Safe to call from several processes at once.

    `force_source` replaces the kind of the model's source (`random` on a machine without a hub). Files are checked by
    size and modification time, or with `verify` by their full hash.

    Raises UserError for a source that lacks a field or whose file has another hash, MissingError when a package or the
    network is missing, InfrastructureError when a cached file was changed."""
    model = _with_source(model, force_source)
    report = progress or _silent
    entry = cache / "checkpoints" / entry_name(model)
    manifest = _read_manifest(entry)
    if manifest is None:
        with _locked(entry.with_name(f".{entry.name}.lock")):
            manifest = _read_manifest(entry) or _build(model, entry, report)
    _check(entry, manifest, full=verify)
    return Checkpoint.of(entry / "model", {name: file.sha256 for name, file in sorted(manifest.files.items())})


def describe(directory: Path) -> Checkpoint:
    """The checkpoint in a directory outside the cache (an agent's, a damaged copy), by hashing all of its files."""
    return Checkpoint.of(directory, {_relative(path, directory): sha256_file(path) for path in _files(directory)})


def entry_name(model: Model) -> str:
    """Directory name of a model's cache entry: a readable slug and 8 hex digits of everything its bytes depend on."""
    identity: dict[str, object] = {"version": STORE_VERSION, "id": model.id, "source": model.source.model_dump()}
    if model.source.kind == "random":
        identity["shape"] = model.model_dump(exclude={"source"})
    slug = re.sub(r"[^a-z0-9]+", "-", model.id.lower()).strip("-")
    return f"{slug}-{sha256_json(identity)[:8]}"


def _with_source(model: Model, kind: str | None) -> Model:
    """The model with its source's kind replaced."""
    if kind is None or kind == model.source.kind:
        return model
    if kind not in get_args(ModelSource.model_fields["kind"].annotation):
        raise UserError(f"model source {kind!r}: expected wheel, hub or random")
    changed = model.source.model_dump() | {"kind": kind}
    if kind == "random" and model.source.seed is None:
        changed["seed"] = 0
    try:
        return model.model_copy(update={"source": ModelSource.model_validate(changed)})
    except ValidationError as error:
        raise UserError(f"model {model.id} has no {kind} source: {error.errors()[0]['msg']}") from None


def _build(model: Model, entry: Path, report: Progress) -> _Manifest:
    """Fetch or make the files in a temporary directory beside `entry`, then rename it into place."""
    if entry.exists():
        # Without a readable manifest it is the rest of an interrupted removal or of another layout.
        shutil.rmtree(entry)
    temporary = Path(tempfile.mkdtemp(dir=entry.parent, prefix=f".{entry.name}."))
    try:
        target = temporary / "model"
        target.mkdir()
        sources.materialize(model, target, report)
        report(f"hashing {model.id}")
        manifest = _Manifest(store_version=STORE_VERSION, model=model.id, source=model.source, files=_records(target))
        write_json(temporary / "manifest.json", manifest)
        temporary.chmod(0o755)
        temporary.rename(entry)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return manifest


def _records(directory: Path) -> dict[str, _File]:
    """Every file's record; hashed side by side, since hashing releases the interpreter lock."""
    paths = _files(directory)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return {
            _relative(path, directory): record for path, record in zip(paths, pool.map(_record, paths), strict=True)
        }


def _record(path: Path) -> _File:
    # Servers run as other users inside a sandbox; safetensors are saved readable by their owner only.
    path.chmod(0o644)
    stat = path.stat()
    return _File(sha256=sha256_file(path), bytes=stat.st_size, mtime_ns=stat.st_mtime_ns)


def _files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file())


def _relative(path: Path, directory: Path) -> str:
    return path.relative_to(directory).as_posix()


def _read_manifest(entry: Path) -> _Manifest | None:
    try:
        return _Manifest.model_validate_json((entry / "manifest.json").read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def _check(entry: Path, manifest: _Manifest, *, full: bool) -> None:
    """Raise InfrastructureError unless the files on disk are those of the manifest.

    A changed modification time alone (a copied cache) is settled by the hash."""
    directory = entry / "model"
    names = {_relative(path, directory) for path in _files(directory)}
    wrong = names.symmetric_difference(manifest.files)
    for name in names & manifest.files.keys():
        expected, stat = manifest.files[name], (directory / name).stat()
        touched = stat.st_mtime_ns != expected.mtime_ns
        if stat.st_size != expected.bytes or ((full or touched) and sha256_file(directory / name) != expected.sha256):
            wrong.add(name)
    if wrong:
        raise InfrastructureError(
            f"{directory}: {', '.join(sorted(wrong))} differ from the manifest; remove {entry} to build it again"
        )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock file; the kernel frees it when its holder dies."""
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _silent(_: str) -> None:
    """No progress wanted."""
