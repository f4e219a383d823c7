"""What may be pooled on one board: every run once, one provenance, one baseline per cell and seed pair."""

from pathlib import Path
from typing import Any

import pytest

from inferencebench.analysis.collect import collect
from inferencebench.analysis.comparable import comparable
from inferencebench.errors import UserError
from inferencebench.run.record import BaselineRef, Result
from tests.run.records import result

OTHER = {"suite_sha256": "f" * 64, "hardware_sha256": "e" * 64, "measurement_version": 9, "server_cpus": (4, 5)}


def over(baseline: str, **fields: Any) -> Result:
    """A result over the baseline of this hash."""
    found = result(**fields)
    return found.model_copy(update={"baseline": BaselineRef(key="k", sha256=baseline, directory="d")})


def under(found: Result, **provenance: Any) -> Result:
    """The result with another provenance."""
    return found.model_copy(update={"provenance": found.provenance.model_copy(update=provenance)})


def refusal(*runs: Result) -> str:
    with pytest.raises(UserError) as caught:
        comparable([(Path(f"c{i}/run"), run) for i, run in enumerate(runs)])
    message = str(caught.value)
    assert "\n" not in message
    assert "c0/run" in message
    assert f"c{len(runs) - 1}/run" in message
    assert "separate calls" in message
    return message


def test_a_directory_given_twice_or_by_another_name_counts_once(tmp_path: Path) -> None:
    run = tmp_path / "c1" / "tiny" / "run"
    run.mkdir(parents=True)
    (run / "spec.json").write_text("{}")
    (run / "result.json").write_text(result(agent="a").model_dump_json())
    (tmp_path / "alias").symlink_to(tmp_path / "c1")
    roots = [tmp_path / "c1", tmp_path / "c1" / "tiny", tmp_path / "alias", tmp_path / "c1" / ".." / "c1"]
    assert len(collect(roots).results) == 1
    (run / "result.json").unlink()
    assert len(collect(roots).skipped) == 1


@pytest.mark.parametrize("name", OTHER)
def test_one_suite_under_different_provenance_is_refused(name: str) -> None:
    runs = result(agent="a"), result(agent="b", scenario="prefill"), under(result(agent="c"), **{name: OTHER[name]})
    assert f"tiny: {name} differs" in refusal(*runs)


def test_what_differs_is_named_before_a_double_run() -> None:
    twice = result(agent="a"), under(result(agent="a"), hardware_sha256="e" * 64)
    assert "hardware_sha256 differs" in refusal(*twice)


def test_cores_are_compared_by_their_count() -> None:
    """A campaign's slots lie on other cores of one machine."""
    runs = [under(result(agent=f"a{first}"), server_cpus=(first, first + 1)) for first in (0, 48)]
    assert comparable([(Path(str(i)), run) for i, run in enumerate(runs)]) == runs
    message = refusal(*runs, under(result(agent="b"), server_cpus=(0,)))
    assert "tiny: server_cpus differs: 2 CPUs in c0/run, 1 CPU in c2/run" in message


def test_other_suites_and_sandboxes_may_differ() -> None:
    runs = [
        result(agent="a"),
        under(result(agent="b"), sandbox="process", sandbox_verified=False),
        under(result(agent="a"), **OTHER).model_copy(update={"suite": "other"}),
    ]
    assert comparable([(Path(str(i)), run) for i, run in enumerate(runs)]) == runs


def test_speedups_over_different_baselines_are_refused() -> None:
    assert "tiny decode seeds 21-1337: baseline differs: aaaa in" in refusal(
        over("aaaa", agent="a"), result(agent="engine:pytorch"), over("bbbb", agent="b")
    )


def test_each_scenario_and_seed_pair_has_its_own_baseline() -> None:
    runs = [
        result(agent="engine:pytorch"),
        over("aaaa", agent="a"),
        over("bbbb", agent="a", pair=(248, 428)),
        over("cccc", agent="a", scenario="prefill"),
    ]
    assert comparable([(Path(str(i)), run) for i, run in enumerate(runs)]) == runs


def test_two_runs_of_one_cell_are_refused_but_a_copy_is_the_same_run() -> None:
    message = refusal(result(agent="a", speedup=2.0), result(agent="a", speedup=8.0))
    assert "tiny: a (default) on decode, seeds 21-1337: two runs" in message
    imported = result(agent="engine:pytorch")
    assert comparable([(Path("c1/x"), imported), (Path("c2/x"), imported)]) == [imported]


def test_repeats_neither_count_nor_refuse() -> None:
    first = over("aaaa", agent="a")
    repeat = under(over("bbbb", agent="a", repeat=1), **OTHER)
    assert comparable([(Path("r0"), first), (Path("r1"), repeat)]) == [first]
