"""A suite's runtime parameters in the form of the paper's Table 7."""

from typing import Any

from inferencebench.suites.model import Record, Scenario, Suite


class ProfileRow(Record):
    """One load profile."""

    name: str
    concurrency: int
    rate_per_s: float | None = None


class Table7Row(Record):
    """One scenario. The names are the paper's: L_in and L_out in tokens, `256x3` for three profiles of 256 requests."""

    scenario: str
    L_in: int
    L_out: int
    requests: int | str
    max_new: int
    profiles: tuple[ProfileRow, ...]


def table7(suite: Suite) -> tuple[Table7Row, ...]:
    """One row per scenario, in the suite's order."""
    return tuple(_row(scenario) for scenario in suite.scenarios)


def _row(scenario: Scenario) -> Table7Row:
    return Table7Row(
        scenario=scenario.id,
        L_in=scenario.input_tokens,
        L_out=scenario.output_tokens,
        requests=_requests(scenario),
        max_new=scenario.output_tokens,
        profiles=tuple(
            ProfileRow(name=p.name, concurrency=p.concurrency, rate_per_s=p.rate_per_s) for p in scenario.profiles
        ),
    )


def _requests(scenario: Scenario) -> int | str:
    counts = [p.requests for p in scenario.profiles]
    if len(counts) == 1:
        return counts[0]
    return f"{counts[0]}x{len(counts)}" if len(set(counts)) == 1 else "+".join(map(str, counts))


def table7_json(suite: Suite) -> dict[str, Any]:
    """`{"rows": [...], "range_ratio": ...}`; a burst has no rate."""
    rows = [row.model_dump(exclude_none=True, mode="json") for row in table7(suite)]
    return {"rows": rows, "range_ratio": suite.range_ratio}
