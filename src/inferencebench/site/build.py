"""Building the site: pages of runs that did not change stay, the overview is written when it differs."""

import os
import stat
import tempfile
from collections.abc import Callable, Iterable
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from inferencebench import __version__
from inferencebench.analysis.collect import collect
from inferencebench.errors import UserError
from inferencebench.files import sha256_bytes
from inferencebench.site import boards, downloads, pages, progress, reading
from inferencebench.site.boards import Run
from inferencebench.site.digest import digest
from inferencebench.site.model import RunRow
from inferencebench.site.redact import redacted

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
)
"""What a run's page is made of; when none changed in size or time, the page is not made again."""


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
    version = sha256_bytes(orjson.dumps([__version__, style, pages.version(), live]))
    kept = before.get("runs", {}) if before.get("version") == version else {}
    stamps: dict[str, str] = {}
    rows: list[RunRow] = []
    written = 0
    for number, row in enumerate(sorted_runs.rows):
        run = sorted_runs.runs[row.id]
        stamp = _stamp(run, row)
        evaluations = _unchanged(out, row, kept.get(row.id), stamp)
        if evaluations is None:
            evaluations = _write_run(out, run, row, live)
            written += 1
        stamps[row.id] = f"{stamp} {evaluations}"
        rows.append(row.model_copy(update={"evaluations": evaluations}))
        progressed(number + 1, len(sorted_runs.rows))
    for gone in _stored(before).keys() - stamps.keys():
        for suffix in pages.RUN_SUFFIXES:
            (out / "runs" / f"{gone}{suffix}").unlink(missing_ok=True)
    skipped = [*found.skipped, *sorted_runs.notes]
    under_way = progress.unfinished(roots)
    for name, content in pages.overview(sorted_runs.views, rows, under_way, len(skipped), live).items():
        _put(out / name, content)
    for name, data in downloads.files(sorted_runs.views, rows).items():
        _put(out / "downloads" / name, data)
    _put(out / STATE, orjson.dumps({"version": version, "runs": stamps}))
    return Built(out / "index.html", len(rows), written, skipped)


def _refuse_foreign(out: Path) -> None:
    if out.is_dir() and any(out.iterdir()) and not (out / STATE).is_file():
        raise UserError(f"{out}: holds something that is no site; name a new or an empty directory with -o")
    out.mkdir(parents=True, exist_ok=True)
    _put(out / STATE, (out / STATE).read_bytes() if (out / STATE).is_file() else b"{}")


def _state(out: Path) -> dict[str, Any]:
    return reading.json_object(out / STATE, limit=64 << 20)


def _stored(state: dict[str, Any]) -> dict[str, str]:
    """Of the state, names of runs that are names: it decides what is deleted."""
    runs = state.get("runs")
    found = runs if isinstance(runs, dict) else {}
    return {name: value for name, value in found.items() if name.isalnum() and isinstance(value, str)}


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


def _unchanged(out: Path, row: RunRow, stored: object, stamp: str) -> int | None:
    """The number of evaluations of a run whose page is as it was; None where it has to be made."""
    if not isinstance(stored, str) or not all((out / "runs" / f"{row.id}{s}").is_file() for s in pages.RUN_SUFFIXES):
        return None
    known, _, evaluations = stored.partition(" ")
    return int(evaluations) if known == stamp and evaluations.isdigit() else None


def _write_run(out: Path, run: Run, row: RunRow, live: bool) -> int:
    page = digest(run, row)
    for suffix, content in pages.run_files(page, live).items():
        _put(out / "runs" / f"{row.id}{suffix}", content)
    try:
        record = reading.head(run.directory / "result.json", 64 << 20).data.decode("utf-8", "replace")
    except reading.NOT_READ:
        record = page.result.model_dump_json(indent=1)
    _put(out / "runs" / f"{row.id}.json", redacted(record).encode())
    return len(page.evaluations)


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
