"""Tables from records built to the published margins give the published figures back."""

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from inferencebench.analysis.published import table
from inferencebench.analysis.runs import load
from inferencebench.analysis.tables.model import Options, Row, Table
from inferencebench.analysis.tables.registry import FAMILIES, find
from inferencebench.cli.main import app
from inferencebench.errors import UserError
from inferencebench.run.record import Outcome, Result
from inferencebench.suites.model import ScenarioName
from tests.analysis.published_runs import (
    NOT_DERIVABLE,
    SUITE,
    Fake,
    ablation_line,
    agent_name,
    best_of_runs,
    budget_runs,
    gates_runs,
    grid_runs,
    line_of,
    main_runs,
    quality,
    seen_runs,
    volatility_runs,
    write,
)
from tests.analysis.triples import solve

RAW = Options(regression="raw")
TWO_DIGITS = 0.0051
"""Half of the last published digit."""
NAMES = dict(zip("ABCD", ScenarioName, strict=True))


def made(name: str, out: Path, options: Options = RAW) -> Table:
    return find(name).table(load([out]), options)


def by(rows: Iterable[Row], *keys: str) -> dict[Any, Row]:
    """Rows by the values of some columns."""
    found = [tuple(row.values[k].value if k in row.values else None for k in keys) for row in rows]
    return dict(zip([f[0] if len(f) == 1 else f for f in found], rows, strict=True))


def number(row: Row, key: str) -> float:
    value = row.values[key].value
    assert isinstance(value, float | int)
    return value


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All 22 lines of the main table: 264 runs."""
    out = tmp_path_factory.mktemp("main")
    write(out, main_runs())
    return out


def test_main_gives_cells_aggregates_errors_and_ranks(campaign: Path) -> None:
    rows = by(made("main", campaign).rows, "method")
    assert len(rows) == 22
    for expected in table("main")["rows"]:
        method = expected["method"]
        row = rows[agent_name(method)]
        for letter, name in NAMES.items():
            cell = row.values[name.value]
            assert cell.value == pytest.approx(expected[letter]["mean"], abs=TWO_DIGITS), (method, letter)
            assert cell.sem == pytest.approx(expected[letter]["sem"], abs=TWO_DIGITS), (method, letter)
        assert row.values["rank"].value == expected["rank"], method
        aggregate = row.values["aggregate"]
        assert aggregate.value == pytest.approx(expected["aggregate"]["mean"], abs=TWO_DIGITS), method
        if method not in NOT_DERIVABLE:
            assert aggregate.sem == pytest.approx(expected["aggregate"]["sem"], abs=TWO_DIGITS), method


def test_the_aggregate_errors_that_cannot_be_had_are_those_six() -> None:
    beyond = set()
    for row in table("main")["rows"]:
        found = solve(line_of(row), failures=row["rank"] is not None)
        if min(s.sem_error for s in found.values()) > 0.02:
            beyond.add(row["method"])
    assert beyond == NOT_DERIVABLE


def test_regressions_are_raised_to_one_unless_raw(campaign: Path) -> None:
    haiku = agent_name("Claude Haiku 4.5")
    raw = by(made("main", campaign).rows, "method")[haiku]
    floor = by(made("main", campaign, Options()).rows, "method")[haiku]
    assert raw.values["prefill"].value == pytest.approx(0.77, abs=TWO_DIGITS)
    assert number(floor, "prefill") >= 1.0


def test_every_value_names_the_runs_behind_it(campaign: Path) -> None:
    """Each cell can be worked out again from the records its ids name."""
    for row in made("main", campaign).rows:
        for name in NAMES.values():
            cell = row.values[name.value]
            assert len(cell.runs) == 3
            results = [Result.model_validate_json((campaign / run / "result.json").read_bytes()) for run in cell.runs]
            assert {r.agent for r in results} == {row.values["method"].value}
            scores = [r.raw_speedup if r.outcome is Outcome.PASSED else 1.0 for r in results]
            assert sum(s or 0 for s in scores) / 3 == pytest.approx(cell.value)
        assert len(row.values["aggregate"].runs) == 12


def test_cost_and_cost_per_speedup(campaign: Path) -> None:
    """Opus 4.7 is left out: its published cells alone cost more than its published total."""
    rows = by(made("cost", campaign).rows, "method")
    for expected in table("cost")["rows"]:
        row = rows[agent_name(expected["agent"])]
        for key in ("api", "gpu", "total"):
            assert number(row, key) == pytest.approx(expected[key], abs=TWO_DIGITS), expected["agent"]
    per_x = by(made("cost-per-speedup", campaign).rows, "method")
    for expected in (r for r in table("cost-per-speedup")["rows"] if r["agent"] != "Claude Opus 4.7"):
        row = per_x[agent_name(expected["agent"])]
        for letter, name in NAMES.items():
            if expected[letter] is None:
                assert name.value not in row.values
            else:
                assert number(row, name.value) == pytest.approx(expected[letter], rel=0.01), (expected["agent"], letter)


@pytest.mark.parametrize("price", [float("inf"), float("nan"), -1.0])
def test_a_price_is_a_number_of_dollars(price: float) -> None:
    with pytest.raises(UserError, match=f"^--gpu-usd-per-h {price}: not a number of dollars$"):
        Options(gpu_usd_per_h=price)


def test_one_run_is_not_said_to_be_several(tmp_path: Path) -> None:
    write(tmp_path, [Fake("codex:gpt", "B", 0, 2.0, suite="laptop")])
    write(tmp_path, [Fake("codex:gpt", "B", 0, 2.0, suite="laptop", condition="start=vllm")])
    notes = made("cost", tmp_path).notes
    assert "1 run under other conditions is left out: start=vllm" in notes
    assert "1 run has no price (1.99 USD is for a GPU): give one by --gpu-usd-per-h" in notes
    assert "1 run has no API cost (no model was called, or its price is unknown): counted as 0" in notes


def test_what_is_priced_is_said_with_its_price(campaign: Path) -> None:
    found = made("cost", campaign)
    titles = {column.key: f"{column.title}, {column.unit}" for column in found.columns}
    assert (titles["reserved_h"], titles["gpu"]) == ("devices reserved, h", "devices reserved, USD")
    for row in found.rows:
        assert number(row, "gpu") == pytest.approx(number(row, "reserved_h") * 1.99)
        assert number(row, "device_h") == pytest.approx(12 * 7860 / 3600)
    assert "reserved device hours (each session's whole budget) at 1.99 USD per hour" in found.notes


def test_a_cpu_machine_has_no_price_but_one_that_is_given(tmp_path: Path) -> None:
    write(tmp_path, [Fake("codex:gpt", letter, 0, 2.0, suite="laptop", api_usd=3.0) for letter in "ABCD"])
    (row,) = made("cost", tmp_path).rows
    assert (row.values["gpu"].value, row.values["total"].value, number(row, "api")) == (None, None, 12.0)
    note = "4 runs have no price (1.99 USD is for a GPU): give one by --gpu-usd-per-h"
    assert note in made("cost", tmp_path).notes
    assert "decode" not in made("cost-per-speedup", tmp_path).rows[0].values
    given = Options(gpu_usd_per_h=1.99)
    (row,) = made("cost", tmp_path, given).rows
    assert number(row, "gpu") == pytest.approx(number(row, "reserved_h") * 1.99)
    (row,) = made("cost-per-speedup", tmp_path, given).rows
    assert number(row, "decode") > 1.5


def test_best_of_three(tmp_path: Path) -> None:
    write(tmp_path, best_of_runs())
    rows = by(made("best-of-n", tmp_path).rows, "method")
    for expected in table("best-of-n")["rows"]:
        row = rows[agent_name(expected["agent"])]
        assert number(row, "best") == pytest.approx(expected["bon_aggregate"], abs=0.011), expected["agent"]
        assert number(row, "main") == pytest.approx(expected["main_aggregate"], abs=0.011), expected["agent"]
        assert (row.values["rank"].value, row.values["main_rank"].value) == (
            expected["bon_rank"],
            expected["main_rank"],
        )
        assert len(row.values["best"].runs) == 4


def test_outcomes_and_thresholds(tmp_path: Path) -> None:
    write(tmp_path, gates_runs())
    rows = {row.values["outcome"].value: row for row in made("outcomes", tmp_path).rows}
    names = ("passed both gates", "quality gate failed or incomplete", "integrity-flagged", "server or runtime failure")
    for name, expected in zip(names, table("outcomes")["rows"], strict=True):
        assert rows[name].values["runs"].value == expected["runs"]
        assert round(number(rows[name], "percent"), 1) == expected["percent"]
        assert len(rows[name].values["runs"].runs) == expected["runs"]
    split = table("outcomes")["quality_split"]
    assert rows["  below the threshold"].values["runs"].value == split["below_threshold"]
    assert rows["  not completed"].values["runs"].value == split["not_completed"]
    taus = by(made("thresholds", tmp_path).rows, "tau")
    for expected in table("thresholds")["rows"]:
        row = taus[expected["tau"]]
        assert (row.values["passed"].value, row.values["total"].value) == (expected["ok"], expected["total"])
        assert row.values["max_rank_change"].value == expected["max_rank_change"], expected["tau"]
        for letter, name in NAMES.items():
            assert number(row, name.value) == pytest.approx(expected[f"best_{letter}"], abs=TWO_DIGITS)


def test_quality_that_is_not_judged_is_said(tmp_path: Path) -> None:
    unjudged = quality(0, Outcome.PASSED).model_copy(update={"agreement": 0.01, "passed": True})
    write(tmp_path, [Fake("codex:gpt", letter, 0, 2.0, extra={"quality": unjudged}) for letter in "ABC"])
    write(tmp_path, [Fake("codex:gpt", "D", 0, 2.0, Outcome.SERVER_FAILED)])
    write(tmp_path, [Fake("codex:gpt", letter, 0, 2.0, suite="laptop") for letter in "AB"])
    note = f"quality is not judged in {SUITE} (random weights)"
    assert note in made("outcomes", tmp_path).notes
    assert note in made("main", tmp_path).notes
    thresholds = made("thresholds", tmp_path)
    assert {row.values["total"].value for row in thresholds.rows} == {2}
    assert f"{note}: its runs are left out" in thresholds.notes
    assert made("thresholds", tmp_path, Options(suite=SUITE)).rows == ()


def test_found_and_submitted(tmp_path: Path) -> None:
    write(tmp_path, seen_runs())
    modes = made("best-seen", tmp_path).rows
    # The last row is ours: the search that was best on the other seed pairs.
    for row, expected in zip(modes[:-1], table("best-seen")["rows"], strict=True):
        for letter, name in NAMES.items():
            assert number(row, name.value) == pytest.approx(expected[letter], abs=TWO_DIGITS), expected["mode"]
        assert number(row, "aggregate") == pytest.approx(expected["aggregate"], abs=0.0151)
    agents = by(made("best-seen-agents", tmp_path).rows, "method")
    for expected in table("best-seen-agents")["rows"]:
        row = agents[agent_name(expected["agent"])]
        assert number(row, "final") == pytest.approx(expected["final_aggregate"], abs=0.0151)
        assert number(row, "seen") == pytest.approx(expected["best_seen_aggregate"], abs=TWO_DIGITS), expected["agent"]
        assert number(row, "ratio") == pytest.approx(expected["ratio"], abs=0.0151)


def test_optimizers_by_engine(tmp_path: Path) -> None:
    write(tmp_path, grid_runs())
    rows = by(made("grid", tmp_path).rows, "optimizer", "engine")
    for expected in table("grid")["rows"]:
        row = rows[expected["optimizer"].lower(), expected["engine"].lower()]
        assert number(row, "aggregate") == pytest.approx(expected["aggregate"], abs=TWO_DIGITS)
        for letter, name in NAMES.items():
            assert number(row, name.value) == pytest.approx(expected[letter]["mean"], abs=TWO_DIGITS)
            assert row.values[name.value].sem == pytest.approx(expected[letter]["sem"], abs=TWO_DIGITS)


def test_volatility(tmp_path: Path) -> None:
    write(tmp_path, volatility_runs())
    for row, expected in zip(made("volatility", tmp_path).rows, table("volatility")["rows"], strict=True):
        assert round(number(row, "mean"), 2) == expected["mean_range"]
        assert round(number(row, "median"), 2) == expected["median_range"]
        assert number(row, "stable") == expected["stable"]
        assert number(row, "adjacent") == expected["adjacent"]
        assert number(row, "two_quartiles") + number(row, "extreme") == expected["two_q_or_extreme"]


def test_time_budget(tmp_path: Path) -> None:
    write(tmp_path, budget_runs())
    rows = by(made("budget", tmp_path).rows, "method", "hours")
    figure = table("budget")
    for method, series in figure["series"].items():
        for hours, expected in zip(figure["hours"], series, strict=True):
            assert number(rows[agent_name(method), hours], "aggregate") == pytest.approx(expected, abs=1e-9)


def test_native_columns_say_each_thing_once(campaign: Path) -> None:
    titles = [f"{column.title}, {column.unit}" for column in made("native", campaign).columns[1:]]
    assert titles == ["A prefill TTFT, ms", "B decode TPOT, ms", "C throughput, req/s", "D balanced score, "]


STRUCTURED = {f"{agent}, structured": "prompt=structured" for agent in ("GPT-5.4 (High)", "Claude Opus 4.7")}
WARM = {f"{agent}, warm-start vLLM": "start=vllm" for agent in ("GPT-5.4 (High)", "Claude Opus 4.7")}
FORCED = {f"GPT-5.4 (High), {engine}-only": f"engine_only={engine.lower()}" for engine in ("SGLang", "TGI")}
ABLATIONS = (("structured", STRUCTURED), ("warm-start", WARM), ("forced-engine", FORCED))


@pytest.mark.parametrize(("name", "conditions"), ABLATIONS)
def test_ablations(name: str, conditions: dict[str, str], tmp_path: Path) -> None:
    expected = [row for row in table(name)["rows"] if row.get("pass")]
    for row in expected:
        condition = conditions.get(row["condition"], "default")
        write(tmp_path, ablation_line(row, agent_name(row["condition"].split(",")[0]), condition))
    write(tmp_path, grid_runs())
    found = by(made(name, tmp_path).rows, "method", "condition")
    for row in expected:
        setting = conditions.get(row["condition"], "=default").split("=")[1]
        line = found[agent_name(row["condition"].split(",")[0]), setting]
        _check_cells(line, row)
        assert ("versus" in line.values) == (setting != "default")
    if name != "structured":
        best = found["best search per scenario", None]
        for letter, scenario in NAMES.items():
            assert number(best, scenario.value) == pytest.approx(table(name)["rows"][-1][letter], abs=TWO_DIGITS)


SUITES = {"Mistral-7B-Instruct-v0.3": SUITE, "Qwen3-8B": "h100-qwen3-8b", "DeepSeek-V2-Lite": "h100-deepseek-v2-lite",
          "H100": SUITE, "A100": "a100-mistral-7b"}  # fmt: skip


@pytest.mark.parametrize(("name", "key"), [("base-model", "base_model"), ("hardware", "hardware")])
def test_suites_beside_each_other(name: str, key: str, tmp_path: Path) -> None:
    for row in table(name)["rows"]:
        write(tmp_path, ablation_line(row, agent_name("GPT-5.4 (High)"), "default", SUITES[row[key]]))
    found = by(made(name, tmp_path).rows, "suite")
    assert len(found) == len(table(name)["rows"])
    for row in table(name)["rows"]:
        _check_cells(found[SUITES[row[key]]], row)


def _check_cells(line: Row, expected: dict[str, Any]) -> None:
    for letter, name in NAMES.items():
        assert number(line, name.value) == pytest.approx(expected[letter]["mean"], abs=TWO_DIGITS), expected
        assert line.values[name.value].sem == pytest.approx(expected[letter]["sem"], abs=TWO_DIGITS), expected
    if "aggregate" in expected:
        assert number(line, "aggregate") == pytest.approx(expected["aggregate"], abs=TWO_DIGITS)


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "process"])
def test_every_table_of_the_paper_has_its_published_values(name: str) -> None:
    ran = CliRunner().invoke(app, ["tables", name, "--published"])
    assert ran.exit_code == 0
    assert json.loads(ran.stdout)["source"]


@pytest.mark.parametrize("form", ["text", "md", "csv", "json", "latex"])
@pytest.mark.parametrize("name", list(FAMILIES))
def test_every_table_has_every_format(name: str, form: str, campaign: Path) -> None:
    ran = CliRunner().invoke(app, ["tables", name, str(campaign), "--format", form])
    assert ran.exit_code == 0
    lines = ran.stdout.splitlines()
    title = find(name).title
    if form == "json":
        table = json.loads(ran.stdout)
        assert (table["name"], bool(table["definition"])) == (name, True)
    elif form == "csv":
        assert len({len(row) for row in csv.reader(lines)}) == 1
    elif form == "latex":
        assert lines[0].startswith(r"\begin{tabular}")
        assert len({line.count(" & ") for line in lines if line.endswith(r" \\")}) == 1
    else:
        assert title in lines[0]


def test_json_on_the_command_line(campaign: Path) -> None:
    ran = CliRunner().invoke(app, ["tables", "main", str(campaign), "--format", "json", "--regression", "raw"])
    assert ran.exit_code == 0
    printed = json.loads(ran.stdout)
    best = next(r["values"] for r in printed["rows"] if r["values"]["rank"]["value"] == 1)
    assert best["method"]["value"] == agent_name("Claude Sonnet 4.6")
    assert round(best["aggregate"]["value"], 2) == 8.08


def test_the_best_of_many_searches_is_shown_on_pairs_that_did_not_choose_it(tmp_path: Path) -> None:
    scores = {"search:tpe?engine=vllm": (4.0, 1.0, 1.0), "search:smac?engine=vllm&mode=paper": (1.9, 1.9, 1.9)}
    runs = [
        Fake(agent, letter, seed, score)
        for agent, row in scores.items()
        for letter in "ABCD"
        for seed, score in enumerate(row)
    ]
    write(tmp_path, [*runs, *(Fake("codex:gpt", letter, 0, 1.5) for letter in "ABCD")])
    rows = by(made("best-seen", tmp_path).rows, "mode")
    assert number(rows["best search"], "decode") == pytest.approx(2.0)
    # tpe is chosen by its lucky first pair, and shown on the other two; where that pair is left out it is not chosen.
    chosen = rows["search that was best on the other seed pairs"]
    assert number(chosen, "decode") == pytest.approx((1.9 + 1.0 + 1.0) / 3)
    optimizers = [row.values["optimizer"].value for row in made("grid", tmp_path).rows]
    assert optimizers == ["smac (published protocol)", "tpe"]
