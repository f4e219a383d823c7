"""Building the site: pages of runs that did not change stay, the overview is written when it differs."""

import multiprocessing
import os
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from pydantic import ValidationError

from inferencebench import __version__
from inferencebench.analysis.behaviour.conduct import Conduct
from inferencebench.analysis.collect import collect
from inferencebench.errors import UserError
from inferencebench.files import sha256_bytes
from inferencebench.site import boards, downloads, pages, progress, reading, tables
from inferencebench.site.boards import Boards, Run
from inferencebench.site.digest import digest
from inferencebench.site.model import Moment, RunRow
from inferencebench.site.redact import redacted
from inferencebench.suites.model import Record

STATE = ".inferencebench-site.json"
"""In the site's directory: which run was built from what. Also the mark that the directory is ours."""

READ_FOR_A_PAGE = (
    "result.json",
    "spec.json",
    "events.jsonl",
    "decisions.jsonl",
    "solve/session.json",
    "solve/trajectory.jsonl",
    "freeze/manifest.json",
    "freeze/diff.patch",
    "freeze/submission",
    "measure/measured.json",
    "measure/launch-0/requests.parquet",
    "measure/launch-0/telemetry.jsonl",
    "measure/launch-0/metrics-after.prom",
)
"""What a run's page is made of; when none changed in size or time, the page is not made again."""


READERS = ("inferencebench.site", "inferencebench.analysis.behaviour", "inferencebench.engines")
"""Packages whose code decides what a page and a row show."""
MANY = 64
"""From so many new pages on, processes share them."""
MOST_PROCESSES = 8


class ReadBefore(Record):
    """Of a run's row, what only its directory tells; kept between builds."""

    evaluations: int
    conduct: Conduct | None
    moments: tuple[Moment, ...]


class Built(NamedTuple):
    """What a build did."""

    front: Path
    """The overview, `index.html`."""
    runs: int
    written: int
    """Run pages made now; the others had not changed."""
    skipped: list[str]
    """One line for each record that is not shown, or not on a board."""


def build(
    directories: Iterable[Path],
    out: Path,
    *,
    live: bool = False,
    progressed: Callable[[int, int], None] = lambda done, of: None,
) -> Built:
    """Write the site of all finished runs below `directories` into `out`.

    Raises UserError for a directory that does not exist, and for an `out` that holds something else."""
    roots = list(directories)
    out = out.absolute()
    _refuse_foreign(out)
    found = collect(roots)
    sorted_runs = boards.boards([(d, r) for d, r in found.results if out not in d.absolute().parents])
    before = _state(out)
    style = _static(out)
    version = sha256_bytes(orjson.dumps([__version__, style, pages.version(), _code(), live]))
    kept = _stored(before) if before.get("version") == version else {}
    stamps = {row.id: _stamp(sorted_runs.runs[row.id], row) for row in sorted_runs.rows}
    known = {row.id: one for row in sorted_runs.rows if (one := _unchanged(out, row.id, kept, stamps))}
    fresh = [row for row in sorted_runs.rows if row.id not in known]
    progressed(len(known), len(sorted_runs.rows))
    for done, (name, one) in enumerate(_written(out, sorted_runs, fresh, live), len(known) + 1):
        known[name] = one
        progressed(done, len(sorted_runs.rows))
    rows = [row.model_copy(update=dict(known[row.id])) for row in sorted_runs.rows]
    for gone in _stored(before).keys() - stamps.keys():
        for suffix in pages.RUN_SUFFIXES:
            (out / "runs" / f"{gone}{suffix}").unlink(missing_ok=True)
    skipped = [*found.skipped, *sorted_runs.notes]
    under_way = progress.unfinished(roots)
    made = tables.of_boards(sorted_runs, rows)
    for name, content in pages.overview(made, rows, under_way, len(skipped), live).items():
        _put(out / name, content)
    _downloads(out / "downloads", downloads.files(sorted_runs.views, rows))
    _downloads(out / "downloads" / "tables", tables.files(made))
    state = {name: {"stamp": stamps[name], "read": one.model_dump(mode="json")} for name, one in known.items()}
    _put(out / STATE, orjson.dumps({"version": version, "runs": state}))
    return Built(out / "index.html", len(rows), len(fresh), skipped)


def _downloads(folder: Path, content: dict[str, bytes]) -> None:
    """Write these files; others there are of runs that are gone."""
    for name, data in content.items():
        _put(folder / name, data)
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_file() and path.name not in content:
            path.unlink()


def _refuse_foreign(out: Path) -> None:
    if out.is_dir() and any(out.iterdir()) and not (out / STATE).is_file():
        raise UserError(f"{out}: holds something that is no site; name a new or an empty directory with -o")
    out.mkdir(parents=True, exist_ok=True)
    _put(out / STATE, (out / STATE).read_bytes() if (out / STATE).is_file() else b"{}")


def _state(out: Path) -> dict[str, Any]:
    return reading.json_object(out / STATE, limit=64 << 20)


def _stored(state: dict[str, Any]) -> dict[str, Any]:
    """Of the state, runs whose names are names: they decide what is deleted."""
    runs = state.get("runs")
    return {name: value for name, value in runs.items() if name.isalnum()} if isinstance(runs, dict) else {}


def _code() -> str:
    """Changes when what is read of a run would."""
    modules = [path for name in READERS for path in sorted(Path(str(files(name))).glob("*.py"))]
    return sha256_bytes(b"".join(path.read_bytes() for path in modules))


def _stamp(run: Run, row: RunRow) -> str:
    """Changes when a file that the page is made of does, or its place among the boards."""
    facts: list[object] = [row.model_dump(mode="json")]
    for name in READ_FOR_A_PAGE:
        try:
            status = os.lstat(run.directory / name)
            facts.append([name, status.st_size if stat.S_ISREG(status.st_mode) else 0, status.st_mtime_ns])
        except OSError:
            facts.append([name])
    return sha256_bytes(orjson.dumps(facts))[:24]


def _unchanged(out: Path, name: str, kept: dict[str, Any], stamps: dict[str, str]) -> ReadBefore | None:
    """What was read of a run whose page is as it was; None where it has to be made."""
    match kept.get(name):
        case {"stamp": known, "read": read} if known == stamps[name]:
            if all((out / "runs" / f"{name}{suffix}").is_file() for suffix in pages.RUN_SUFFIXES):
                return _valid(read)
    return None


def _valid(read: object) -> ReadBefore | None:
    try:
        return ReadBefore.model_validate_json(orjson.dumps(read))
    except ValidationError:
        return None


def _written(out: Path, found: Boards, rows: list[RunRow], live: bool) -> Iterator[tuple[str, ReadBefore]]:
    """Make the pages of these runs, in processes of their own where they are many."""
    if len(rows) < MANY:
        for row in rows:
            yield row.id, _write_run(out, found.runs[row.id], row, live)
        return
    # Not forked: the threads of polars do not survive that.
    with ProcessPoolExecutor(min(os.cpu_count() or 1, MOST_PROCESSES), multiprocessing.get_context("spawn")) as pool:
        waiting = {pool.submit(_write_run, out, found.runs[row.id], row, live): row.id for row in rows}
        for done in as_completed(waiting):
            yield waiting[done], done.result()


def _write_run(out: Path, run: Run, row: RunRow, live: bool) -> ReadBefore:
    page = digest(run, row)
    for suffix, content in pages.run_files(page, live).items():
        _put(out / "runs" / f"{row.id}{suffix}", content)
    try:
        record = reading.head(run.directory / "result.json", 64 << 20).data.decode("utf-8", "replace")
    except reading.NOT_READ:
        record = page.result.model_dump_json(indent=1)
    _put(out / "runs" / f"{row.id}.json", redacted(record).encode())
    return ReadBefore(evaluations=len(page.evaluations), conduct=page.row.conduct, moments=page.row.moments)


def _static(out: Path) -> str:
    """Copy styles, scripts and libraries; a hash over them."""
    hashes = []
    with as_file(files("inferencebench.site").joinpath("static")) as folder:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            data = path.read_bytes()
            hashes.append(sha256_bytes(data))
            _put(out / "static" / path.relative_to(folder), data)
    return sha256_bytes("".join(hashes).encode())


def _put(path: Path, content: bytes | str) -> None:
    """Write a file whole or not at all, unless it is the same. Not synchronized: a site can be built again."""
    data = content.encode("utf-8", "replace") if isinstance(content, str) else content
    try:
        if path.stat().st_size == len(data) and path.read_bytes() == data:
            return
    except OSError:
        path.parent.mkdir(parents=True, exist_ok=True)
    fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
