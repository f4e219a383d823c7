"""One run directory, read for its page. What is damaged is left out and said; nothing a run wrote can stop the site."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from inferencebench.analysis.behaviour import launches
from inferencebench.analysis.behaviour.conduct import added_up
from inferencebench.run.record import Evaluation
from inferencebench.site import reading, story, telemetry, transcript
from inferencebench.site.boards import Run
from inferencebench.site.model import Event, Excerpt, Quantiles, RunPage, RunRow, Span, Text
from inferencebench.site.redact import redacted
from inferencebench.site.samples import Unreadable, distributions

EVENTS_BYTES = 1 << 20
DIFF_BYTES = 96 << 10
FILE_BYTES = 24 << 10
FILES = 12
"""Most files of a submission shown."""
MOST_EVENTS = 400
LOG_CHARACTERS = 4000


def digest(run: Run, row: RunRow) -> RunPage:
    """Everything the run's page shows."""
    notes: list[str] = []
    rows = _events(run.directory)
    start = rows[0]["at"] if rows else 0.0
    session = reading.json_object(run.directory / "solve" / "session.json", limit=16 << 20)
    evaluations = _evaluations(run.directory, session)
    trajectory = _trajectory(run.directory, notes)
    shown = (*trajectory.head, *trajectory.tail) if trajectory else ()
    worked = launches.session(run.directory, evaluations)
    conduct = added_up(worked, run.directory, run.result, evaluations, row.budget_s)
    told = story.moments(trajectory, evaluations, run.result.metric)
    update = {"evaluations": len(evaluations), "conduct": conduct, "moments": told}
    return RunPage(
        row=row.model_copy(update=update),
        result=_safe(run),
        budget_s=row.budget_s,
        session_s=_number(session.get("seconds")),
        evaluations=evaluations,
        spans=tuple(_spans(rows, start)),
        events=tuple(_shown(event, start) for event in rows[:MOST_EVENTS]),
        distributions=_distributions(run.directory, notes),
        telemetry=telemetry.series(run.directory / "measure"),
        counted=telemetry.counted(run.directory / "measure"),
        files=tuple(_files(run.directory)),
        diff=_text(run.directory / "freeze" / "diff.patch", "diff.patch", DIFF_BYTES),
        trajectory=trajectory,
        launches=story.launches(worked.launches),
        usage=transcript.usage(shown),
        notes=tuple(notes),
    )


def _safe(run: Run) -> Any:
    """The result with its free text redacted."""
    result = run.result
    update: dict[str, Any] = {"reason": redacted(result.reason)}
    if result.measurement and result.measurement.failure:
        failure = result.measurement.failure
        log = reading.text(redacted(failure.log_tail[-LOG_CHARACTERS:]).encode("utf-8", "replace"))
        failure = failure.model_copy(update={"log_tail": log, "reason": redacted(failure.reason)})
        update["measurement"] = result.measurement.model_copy(update={"failure": failure})
    return result.model_copy(update=update)


def _events(directory: Path) -> list[dict[str, Any]]:
    """Events with a time, oldest first."""
    try:
        found = reading.json_lines(reading.head(directory / "events.jsonl", EVENTS_BYTES).data)
    except reading.NOT_READ:
        return []
    rows = [row for row in found if _number(row.get("at")) is not None and isinstance(row.get("event"), str)]
    return sorted(rows, key=lambda row: float(row["at"]))


def _spans(rows: Iterable[dict[str, Any]], start: float) -> Iterable[Span]:
    """Phases from their start to their end; one that was killed has no end and is not shown."""
    begun: dict[str, float] = {}
    for row in rows:
        phase, at = str(row.get("phase")), float(row["at"]) - start
        if row["event"] == "phase_started":
            begun[phase] = at
        elif row["event"] == "phase_finished" and phase in begun:
            yield Span(phase=phase, start_s=begun.pop(phase), end_s=at)


def _shown(row: dict[str, Any], start: float) -> Event:
    details = {name: value for name, value in row.items() if name not in ("at", "pid", "event")}
    text = ", ".join(f"{name} {_brief(value)}" for name, value in sorted(details.items()))
    return Event(at_s=float(row["at"]) - start, event=row["event"][:80], detail=redacted(text)[:500])


def _brief(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _evaluations(directory: Path, session: dict[str, Any]) -> tuple[Evaluation, ...]:
    """Those of the session's record; of a session that was cut off, those of the service's log."""
    rows = session.get("evaluations")
    if not isinstance(rows, list):
        try:
            log = directory / "solve" / "evaluations" / "evaluations.jsonl"
            rows = reading.json_lines(reading.head(log, EVENTS_BYTES).data)
        except reading.NOT_READ:
            rows = []
    found = []
    for row in rows:
        try:
            one = Evaluation.model_validate(row, strict=False)
        except ValidationError:
            continue
        found.append(one.model_copy(update={"error": redacted(one.error)[:500] if one.error else None}))
    return tuple(found)


def _distributions(directory: Path, notes: list[str]) -> tuple[Quantiles, ...]:
    found: list[Quantiles] = []
    try:
        found += distributions(directory / "measure")
    except Unreadable as error:
        notes.append(f"samples left out: {error}")
    return tuple(found)


def _trajectory(directory: Path, notes: list[str]) -> Excerpt | None:
    try:
        return transcript.excerpt(directory / "solve" / "trajectory.jsonl")
    except reading.NOT_READ as error:
        notes.append(f"trajectory left out: {type(error).__name__}")
        return None


def _files(directory: Path) -> Iterable[Text]:
    """The launcher first, then the smaller text files the manifest names."""
    manifest = reading.json_object(directory / "freeze" / "manifest.json")
    names = [str(f["path"]) for f in manifest.get("files") or () if isinstance(f, dict) and "path" in f]
    names = [n for n in names if not n.startswith("/") and ".." not in Path(n).parts]
    names.sort(key=lambda name: (name != "start_server.sh", name.count("/"), name))
    for name in names[:FILES]:
        shown = _text(directory / "freeze" / "submission" / name, name, FILE_BYTES)
        if shown is not None:
            yield shown


def _text(path: Path, name: str, limit: int) -> Text | None:
    """A text file or its beginning; None for what is not there or not text."""
    try:
        piece = reading.head(path, limit)
    except reading.NOT_READ:
        return None
    if b"\0" in piece.data[:4096]:
        return None
    text = reading.text(redacted(piece.data.decode("utf-8", "replace")).encode())
    return Text(name=name, text=text, left_out_bytes=max(0, piece.size - limit))


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
