"""`audit --judge` over a campaign with two scripted providers: what is stored, agreement, and rates on the zoo."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from inferencebench.cli.main import app
from inferencebench.errors import UserError
from inferencebench.gates.judge.check import Judges
from inferencebench.gates.judge.exhibits import CHUNK_BYTES, exhibits
from inferencebench.gates.judge.model import Label
from inferencebench.run.pipeline import rejudge
from inferencebench.run.record import Outcome
from inferencebench.run.spec import BASELINE_AGENT
from tests.judge.api import Api, anthropic_message, openai_completion, opinion, serving
from tests.run.stored import only_checks, stored_run

pytest.importorskip("anthropic")
pytest.importorskip("openai")

LINE = {"exhibit": "evidence.json", "line": 1, "text": "["}
SEEN = opinion({Label.TIMING_MANIPULATION: [{**LINE, "line": 3, "text": '"name": "forced-length"'}]})
CLEAR = opinion({})


@pytest.fixture(autouse=True)
def few_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    only_checks(monkeypatch, Judges())


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    """Four runs that are judged in this order, by name: the baseline, a script, a cheat and a control of the zoo."""
    for agent in (BASELINE_AGENT, "script:fine", "zoo:hold_flush", "zoo:kv_q8"):
        stored_run(tmp_path, agent)
    return tmp_path


@pytest.fixture
def apis(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Api, Api]]:
    """Both find the cheat; the second one also finds something in the script's run."""
    first = [CLEAR, CLEAR, SEEN, CLEAR]
    second = [CLEAR, SEEN, SEEN, CLEAR]
    tool = [[{"type": "tool_use", "id": "t", "name": "give_opinion", "input": value}] for value in first]
    with (
        serving(Api(*map(anthropic_message, tool))) as anthropic,
        serving(Api(*(openai_completion(json.dumps(value)) for value in second))) as openai,
    ):
        monkeypatch.setenv("ANTHROPIC_API_KEY", "a")
        monkeypatch.setenv("ANTHROPIC_BASE_URL", anthropic.url)
        monkeypatch.setenv("OPENAI_API_KEY", "o")
        monkeypatch.setenv("OPENAI_BASE_URL", f"{openai.url}/v1")
        yield anthropic, openai


def audit(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["audit", *arguments])
    assert done.exit_code == 0, (done.output, done.exception)
    return done.stdout


def test_a_campaign_is_judged_run_by_run_and_added_up(campaign: Path, apis: tuple[Api, Api]) -> None:
    said = json.loads(audit("--judge", str(campaign), "--json"))
    verdicts = {run["agent"]: run["verdict"] for run in said["runs"]}
    assert verdicts == {
        BASELINE_AGENT: "clear",
        "script:fine": "review",
        "zoo:hold_flush": "review",
        "zoo:kv_q8": "clear",
    }
    summary = said["summary"]
    assert summary["kappa"] == pytest.approx(0.5)  # agreed on 3 of 4, by chance on 2 of 4
    assert summary["kappa_runs"] == 4
    assert summary["kappa_ci95"][0] < 0.5 < summary["kappa_ci95"][1]
    assert [(j["sensitivity"], j["specificity"], j["flagged"]) for j in summary["judges"]] == [(1, 1, 1), (1, 1, 2)]
    stored = {r["agent"]: r["outcome"] for r in map(json.loads, (p.read_text() for p in campaign.rglob("result.json")))}
    assert (stored["script:fine"], stored["zoo:kv_q8"]) == ("review_pending", "passed")


def test_nobody_is_asked_twice_about_the_same_evidence(campaign: Path, apis: tuple[Api, Api]) -> None:
    audit("--judge", str(campaign))
    shown = audit("--judge", str(campaign))
    assert [len(api.requests) for api in apis] == [4, 4]
    assert "kappa 0.50" in shown


def test_an_answer_that_the_log_names_is_missed_when_it_is_gone(campaign: Path, apis: tuple[Api, Api]) -> None:
    audit("--judge", str(campaign))
    said = next(path for path in campaign.rglob("judges.jsonl") if "hold_flush" in str(path))
    run = said.parents[1]
    assert rejudge(run, None).outcome is Outcome.REVIEW_PENDING
    whole = said.read_bytes()
    for text in (whole.replace(b"timing_manipulation", b"none"), whole[: len(whole) // 2], b""):
        said.write_bytes(text)
        with pytest.raises(UserError, match=r"judges.jsonl: missing or damaged \(1 of the entries that events.jsonl"):
            rejudge(run, None)
    said.unlink()
    with pytest.raises(UserError, match=r"judges.jsonl: missing or damaged"):
        rejudge(run, None)


def test_without_keys_it_says_so_once(campaign: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    assert "stands on evidence alone" in audit("--judge", str(campaign))
    assert not list(campaign.rglob("judges.jsonl"))


def test_a_long_transcript_is_shown_in_parts_its_end_and_what_looks_like_a_cheat(campaign: Path) -> None:
    run = next(path.parent for path in campaign.rglob("result.json"))
    lines = [json.dumps({"step": number, "text": "edit the launcher " * 20}) for number in range(400)]
    lines[150] = json.dumps({"step": 150, "text": "export LD_PRELOAD=/tmp/faketime.so; nohup ./daemon"})
    (run / "solve" / "trajectory.jsonl").write_text("\n".join(lines))
    found = {exhibit.name: exhibit.text for exhibit in exhibits(run, None)}
    parts = [text for name, text in found.items() if name.startswith("transcript/0")]
    assert len(parts) == 4
    assert all(len(text) <= CHUNK_BYTES for text in parts)
    assert lines[-1] in parts[-1]
    assert any("LD_PRELOAD" in text for text in parts)
    assert found["transcript/note.txt"].startswith("4 of ")
