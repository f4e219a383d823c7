"""Which results may stand on one board: each run once, under one provenance, over one baseline."""

from collections.abc import Callable, Hashable, Sequence
from operator import attrgetter
from pathlib import Path

from inferencebench.errors import UserError
from inferencebench.run.machine import counted
from inferencebench.run.record import Result

Located = tuple[Path, Result]
PROVENANCE: dict[str, Callable[[Result], Hashable]] = {
    "suite_sha256": attrgetter("provenance.suite_sha256"),
    "hardware_sha256": attrgetter("provenance.hardware_sha256"),
    "measurement_version": attrgetter("provenance.measurement_version"),
    "server_cpus": lambda result: counted(len(result.provenance.server_cpus), "CPU"),
}
"""What all runs of a suite on one board share; of CPUs, how many they are."""

SHOWN_HEX = 12
"""Digits of a hash in a message."""


def comparable(found: Sequence[Located]) -> list[Result]:
    """The results that enter a board: repeat 0 of each run, once. Copies with equal records are one run, as an imported
    baseline is.

    Raises UserError, naming what differs and where, for runs of one suite under different provenance, for speedups over
    different baselines (settled point 5), and for two runs of one agent, condition, scenario and seed pair."""
    entering = [(directory, result) for directory, result in found if result.repeat == 0]
    for name, value in PROVENANCE.items():
        _one_value(entering, lambda r: (r.suite,), value, name)
    over = [(directory, result) for directory, result in entering if result.baseline]
    _one_value(over, lambda r: (r.suite, r.scenario, f"seeds {r.seed_pair}"), attrgetter("baseline.sha256"), "baseline")
    runs: dict[tuple[str, ...], Located] = {}
    for directory, result in entering:
        cell = (result.suite, result.scenario, str(result.seed_pair), result.agent, result.condition)
        there, first = runs.setdefault(cell, (directory, result))
        if first != result:
            what = f"{result.suite}: {result.agent} ({result.condition}) on {result.scenario}, seeds {result.seed_pair}"
            raise UserError(f"{what}: two runs, {there} and {directory}; give them to separate calls")
    return [result for _, result in runs.values()]


def _one_value(
    found: Sequence[Located],
    group: Callable[[Result], tuple[str, ...]],
    value: Callable[[Result], Hashable],
    name: str,
) -> None:
    """Raises UserError when results of one group have different values of what `name` names."""
    firsts: dict[tuple[str, ...], Located] = {}
    for directory, result in found:
        there, first = firsts.setdefault(group(result), (directory, result))
        if value(first) != value(result):
            raise UserError(
                f"{' '.join(group(result))}: {name} differs: {_shown(value(first))} in {there}, "
                f"{_shown(value(result))} in {directory}; give them to separate calls"
            )


def _shown(value: object) -> str:
    return str(value)[:SHOWN_HEX]
