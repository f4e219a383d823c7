"""What a session did, short enough to read at a glance: its server starts, and a few moments of it."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from inferencebench.agents.trajectory import Step, StepKind
from inferencebench.analysis.behaviour.conduct import changed
from inferencebench.analysis.behaviour.launches import Launch
from inferencebench.run.record import Evaluation, MetricValue
from inferencebench.run.trace import COMMAND_KEYS
from inferencebench.site import units
from inferencebench.site.model import Excerpt, LaunchRow, Moment
from inferencebench.site.redact import redacted

CHARACTERS = 240
MOST_LAUNCHES = 200
MOST_SETTINGS = 30


def launches(found: Sequence[Launch]) -> tuple[LaunchRow, ...]:
    """The starts, oldest first, each with what changed since the one before."""
    before: Sequence[Launch | None] = [None, *found]
    return tuple(_launch(one, last) for last, one in pairwise([*before]) if one is not None)[:MOST_LAUNCHES]


def _launch(one: Launch, last: Launch | None) -> LaunchRow:
    seen = one.configuration
    settings = seen.settings[:MOST_SETTINGS] if seen else ()
    return LaunchRow(
        at_s=one.at_s,
        by=one.by,
        engine=seen.engine if seen else None,
        settings={name[:80]: redacted(f"{name}={value}").partition("=")[2][:120] for name, value in settings},
        known=seen is not None,
        change=_change(one, last),
        ok=one.ok,
        full=one.full,
        value=one.value,
    )


def _change(one: Launch, last: Launch | None) -> str:
    if last is None:
        return "first"
    if one.same(last):
        return "same"
    if one.configuration is None or last.configuration is None:
        return "unknown"
    if one.configuration.engine != last.configuration.engine:
        return "engine"
    number = changed(last.configuration, one.configuration)
    return "files only" if not number else "one setting" if number == 1 else f"{number} settings"


def moments(trajectory: Excerpt | None, evaluations: Sequence[Evaluation], metric: MetricValue) -> tuple[Moment, ...]:
    """First words, first call, first and best evaluation, failures counted, last words; in order of time."""
    if trajectory is None:
        return ()
    every = (*trajectory.head, *trajectory.tail)
    said = [step for step in every if step.kind is StepKind.MESSAGE and step.text.strip()]
    called = next((step for step in trajectory.head if step.kind is StepKind.TOOL), None)
    found = [_step(step) for step in (*said[:1], *([called] if called else ()), *(said[1:][-1:]))]
    found += list(_evaluations(evaluations, metric))
    return tuple(sorted(found, key=lambda moment: (moment.at_s is None, moment.at_s or 0.0)))


def _step(step: Step) -> Moment:
    if step.kind is StepKind.TOOL:
        given = step.input or {}
        text = next((str(given[key]) for key in COMMAND_KEYS if key in given), "")
        return Moment(at_s=step.at_s, kind="tool", text=_short(f"{step.tool or 'tool'}: {text}"))
    return Moment(at_s=step.at_s, kind="message", text=_short(step.text))


def _evaluations(evaluations: Sequence[Evaluation], metric: MetricValue) -> Iterable[Moment]:
    good = [one for one in evaluations if one.ok and one.value]
    if good:
        lower = metric.name.lower_is_better
        best = (min if lower else max)((e for e in good if not e.quick), key=lambda e: e.value or 0.0, default=good[0])
        for one, what in {good[0].id: (good[0], "first valid"), best.id: (best, "best")}.values():
            yield Moment(at_s=one.at_s, kind="evaluation", text=_measured(one, what, metric))
    bad = [one for one in evaluations if not one.ok]
    if bad:
        text = f"{len(bad)} of {len(evaluations)} evaluations failed, first: {bad[0].error or 'no reason'}"
        yield Moment(at_s=bad[0].at_s, kind="error", text=_short(text))


def _measured(one: Evaluation, what: str, metric: MetricValue) -> str:
    value = one.value or 0.0
    over = ""
    if metric.baseline and value:
        ratio = metric.baseline / value if metric.name.lower_is_better else value / metric.baseline
        over = f", {ratio:.2f}× the baseline"
    kind = "quick evaluation" if one.quick else "evaluation"
    return f"{what} {kind}: {units.quantity(metric.name.value, value)}{over}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= CHARACTERS else f"{line[: CHARACTERS - 1]}…"
