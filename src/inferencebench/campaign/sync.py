"""`campaign sync`: the records of finished runs, copied to another place. The run directories here stay the truth.

What was copied stands in a log beside the campaign's own, by size, time and SHA-256, so that an interrupted copy goes
on and a second one copies only what is new. `SHA256SUMS` there, written last, lets anybody check the copy with
`sha256sum -c`.

Never copied: the salt, what could give away the eval side while the campaign goes on, locks, and files that hold the
value of a key in this process's environment (that ends the copy: something is wrong).
"""

import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from inferencebench.campaign.journal import FOLDER, LOG, settled
from inferencebench.campaign.plan import Plan
from inferencebench.campaign.target import Target
from inferencebench.errors import UserError
from inferencebench.files import canonical_json, read_jsonl, sha256_bytes
from inferencebench.suites.model import Record

SUMS = "SHA256SUMS"
BATCH = 64
BLOCK = 1 << 20
SECRET_NAMES = re.compile(r"(?i)(key|token|secret|password)")
SECRET_LENGTH = 12
"""Shorter values are not searched for: they would be found by chance."""
NEVER = ("*.lock", "*/.lock", "*.sock", "*/__pycache__/*")
SEALED = (".salt", "*/prepare/eval*", "*/quality/answers.jsonl", "*/.quality/*")
"""The eval side: copied only when it is disclosed, since agents of runs to come may read what is published."""
BULK = ("*/solve/workspace/*", "*/freeze/submission/*", "*/server.out", "*/server.err")
"""Left out with `keep = "records"`."""


class SyncReport(Record):
    """What one copy did."""

    copied: int
    """Files."""
    copied_bytes: int
    same: int
    """Files that were there already."""
    finished: int
    """Runs that are there, whole."""
    sealed: int
    """Files held back until the campaign is disclosed."""


class _File(NamedTuple):
    """One file at the moment it was looked at."""

    name: str
    """Under the campaign directory, with `/`."""
    path: Path
    size: int
    mtime_ns: int


class _Copied(NamedTuple):
    size: int
    mtime_ns: int
    sha256: str


def sync(plan: Plan, out: Path, to: Target, *, disclose: bool = False) -> SyncReport:
    """Copy what is new of the finished runs in `out`; `disclose`: also the salt and the eval sets.

    Raises UserError for a directory without a campaign, a key in a record, or a disclosure while runs are left;
    InfrastructureError when the target goes on failing."""
    if not (out / FOLDER / LOG).exists():
        raise UserError(f"{out}: no campaign was started here; give the --out of `campaign run`")
    finished = [task.directory for task in plan.tasks if settled(out, task)]
    if disclose and len(finished) < len(plan.tasks):
        left = len(plan.tasks) - len(finished)
        raise UserError(f"{out}: {left} runs are not finished; --disclose would give their eval sets away")
    files = list(_files(out, finished, records=plan.campaign.keep == "records"))
    sealed = [] if disclose else [file for file in files if _matches(file.name, SEALED)]
    files = [file for file in files if file not in set(sealed)]
    log = out / FOLDER / "sync" / f"{sha256_bytes(to.root.encode())[:12]}.jsonl"
    known, there = _known(log), to.sizes()
    new = [file for file in files if not _is_there(file, known, there)]
    new.sort(key=lambda file: file.path.name == "result.json")  # a result that is there has its records
    log.parent.mkdir(exist_ok=True)
    for start in range(0, len(new), BATCH):
        known.update(_copy(new[start : start + BATCH], to, log))
    _write_sums(to, {file.name: known[file.name].sha256 for file in files})
    return SyncReport(
        copied=len(new),
        copied_bytes=sum(known[file.name].size for file in new),
        same=len(files) - len(new),
        finished=len(finished),
        sealed=len(sealed),
    )


def _files(out: Path, finished: list[Path], *, records: bool) -> Iterator[_File]:
    """Regular files to copy."""
    folders = [*finished, *sorted({Path(run.parts[0]) / ".quality" for run in finished}), Path(FOLDER) / "logs"]
    roots = [path for folder in folders for path in _walk(out / folder)]
    roots += [path for path in (out / FOLDER / LOG, out / ".salt") if path.exists()]
    for path in roots:
        name = path.relative_to(out).as_posix()
        info = path.lstat()
        if stat.S_ISREG(info.st_mode) and not _matches(name, (*NEVER, *(BULK if records else ()))):
            yield _File(name, path, info.st_size, info.st_mtime_ns)


def _walk(folder: Path) -> list[Path]:
    """Files under a folder, no link followed."""
    return sorted(Path(base) / name for base, _, names in os.walk(folder) for name in names)


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _known(log: Path) -> dict[str, _Copied]:
    rows = read_jsonl(log) if log.exists() else []
    return {row["name"]: _Copied(row["size"], row["mtime_ns"], row["sha256"]) for row in rows}


def _is_there(file: _File, known: Mapping[str, _Copied], there: Mapping[str, int]) -> bool:
    row = known.get(file.name)
    same = row is not None and (row.size, row.mtime_ns) == (file.size, file.mtime_ns)
    return same and there.get(file.name) == file.size


def _copy(batch: list[_File], to: Target, log: Path) -> dict[str, _Copied]:
    """Copy a batch and note it. The campaign's own logs, which grow meanwhile, are copied as they were read."""
    copied: dict[str, _Copied] = {}
    with tempfile.TemporaryDirectory(prefix="ib-sync-") as scratch:
        pairs = []
        for number, file in enumerate(batch):
            source = file.path
            if file.name.startswith(f"{FOLDER}/"):
                source = Path(shutil.copyfile(file.path, Path(scratch) / str(number)))
            digest = _checked_sha256(source, file.path)
            copied[file.name] = _Copied(source.stat().st_size, file.mtime_ns, digest)
            pairs.append((source, file.name))
        to.put(pairs)
    with log.open("ab") as lines:
        for name, row in copied.items():
            lines.write(canonical_json({"name": name, **row._asdict()}) + b"\n")
        lines.flush()
        os.fsync(lines.fileno())
    return copied


def _checked_sha256(path: Path, shown: Path) -> str:
    """Hex SHA-256 of a file. Raises UserError, naming it as `shown`, when it holds a key of the environment."""
    secrets = {
        name: value.encode()
        for name, value in os.environ.items()
        if SECRET_NAMES.search(name) and len(value) >= SECRET_LENGTH
    }
    longest = max((len(value) for value in secrets.values()), default=1)
    digest, tail = hashlib.sha256(), b""
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            for name, value in secrets.items():
                if value in tail + block:
                    raise UserError(f"{shown}: holds the value of ${name}; remove it before it is copied")
            tail = (tail + block)[1 - longest :] if longest > 1 else b""
            digest.update(block)
    return digest.hexdigest()


def _write_sums(to: Target, sums: Mapping[str, str]) -> None:
    """`SHA256SUMS`, beside what earlier copies put there."""
    old = (to.get(SUMS) or b"").decode()
    found = {line[66:]: line[:64] for line in old.splitlines() if len(line) > 66} | dict(sums)
    text = "".join(f"{digest}  {name}\n" for name, digest in sorted(found.items()))
    if text == old:
        return
    with tempfile.TemporaryDirectory(prefix="ib-sync-") as scratch:
        path = Path(scratch) / SUMS
        path.write_text(text)
        to.put([(path, SUMS)])
