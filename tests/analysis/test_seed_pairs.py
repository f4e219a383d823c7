"""Tables say where their rows are over other seed pairs, and can be told to share some."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from inferencebench.cli.main import app
from inferencebench.errors import UserError
from inferencebench.run.record import Outcome
from tests.analysis.published_runs import Fake, write
from tests.analysis.test_published_tables import by, made, number


def test_rows_over_different_seed_pairs_say_so_and_can_be_told_to_share(tmp_path: Path) -> None:
    whole = [Fake("codex:gpt", letter, seed, 1.0 + seed) for letter in "ABCD" for seed in (0, 1)]
    write(tmp_path, [*whole, *(Fake("search:tpe?engine=vllm", letter, 0, 3.0) for letter in "ABCD")])
    note = "of the seed pairs 21-1337, 248-428, search:tpe?engine=vllm has 21-1337 only: compare by --seed-pair 21,1337"
    assert note in made("main", tmp_path).notes
    assert number(by(made("main", tmp_path).rows, "method")["codex:gpt"], "decode") == pytest.approx(1.5)

    shared = CliRunner().invoke(app, ["tables", "main", str(tmp_path), "--seed-pair", "21,1337", "--json"])
    printed = json.loads(shared.stdout)
    assert not any("seed pairs" in line for line in printed["notes"])
    cells = {row["values"]["method"]["value"]: row["values"]["decode"]["value"] for row in printed["rows"]}
    assert cells == {"codex:gpt": 1.0, "search:tpe?engine=vllm": 3.0}

    unknown = CliRunner().invoke(app, ["tables", "main", str(tmp_path), "--seed-pair", "1,2"])
    assert isinstance(unknown.exception, UserError)
    assert "no run has 1-2; there are 21-1337, 248-428" in str(unknown.exception)


def test_rows_are_compared_scenario_by_scenario_and_by_what_was_scored(tmp_path: Path) -> None:
    whole = [Fake("codex:gpt", letter, seed, 1.0 + seed) for letter in "ABCD" for seed in (0, 1)]
    short = [
        Fake("codex:other", letter, seed, 2.0) for letter in "ABCD" for seed in (0, 1) if (letter, seed) != ("B", 1)
    ]
    write(tmp_path, [*whole, *short])
    [note] = [note for note in made("main", tmp_path).notes if "seed pairs" in note]
    assert note == (
        "of the seed pairs 21-1337, 248-428, codex:other has 21-1337 only in decode: compare by --seed-pair 21,1337"
    ), "it has both pairs, though not in each scenario"
    write(tmp_path, [Fake("codex:other", "B", 1, 2.0, outcome=Outcome.REVIEW_PENDING)])
    assert note in made("main", tmp_path).notes, "a run that waits for a review enters no mean"
    shutil.rmtree(tmp_path)
    write(tmp_path, [*whole, *short, Fake("codex:other", "B", 1, 2.0, outcome=Outcome.QUALITY_FAILED)])
    assert not any("seed pairs" in note for note in made("main", tmp_path).notes)


def test_a_scenario_without_a_score_is_a_hole_and_other_pairs_are_all_named(tmp_path: Path) -> None:
    whole = [Fake("codex:gpt", letter, seed, 1.0 + seed) for letter in "AB" for seed in (0, 1)]
    write(tmp_path, [*whole, *(Fake("codex:hole", "B", seed, 2.0) for seed in (0, 1))])
    assert not any("seed pairs" in note for note in made("main", tmp_path).notes)
    write(tmp_path, [Fake("codex:odd", "A", 0, 2.0), Fake("codex:odd", "B", 1, 2.0)])
    [note] = [note for note in made("main", tmp_path).notes if "seed pairs" in note]
    assert note == (
        "of the seed pairs 21-1337, 248-428, codex:odd has 21-1337 only in prefill and 248-428 only in decode: "
        "none is common to all"
    )
