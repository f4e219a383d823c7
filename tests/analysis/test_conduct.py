"""Behaviour from trajectories, evaluations and launchers: small cases by hand, then the published margins."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from inferencebench.analysis.behaviour.conduct import Conduct
from inferencebench.analysis.published import table
from inferencebench.analysis.runs import load
from inferencebench.analysis.tables.model import Options, Row
from inferencebench.analysis.tables.registry import find
from inferencebench.cli.main import app
from inferencebench.gates.integrity.model import CheckResult, IntegrityResult, Verdict
from inferencebench.run.record import Evaluation, Outcome, Session
from inferencebench.suites.model import Metric
from tests.analysis.published_runs import Fake, write

SERVE = "exec vllm serve $MODEL_PATH --port $PORT"


def evaluation(number: int, sha: str, value: float, *, at_s: float, ok: bool = True) -> Evaluation:
    return Evaluation(
        id=number, at_s=at_s, seconds=100, quick=False, submission_sha256=sha, ok=ok, metric=Metric.TTFT, value=value
    )


def writes(text: str, at_s: float) -> dict[str, Any]:
    given = {"file_path": "/workspace/submission/start_server.sh", "content": text}
    return {"kind": "tool", "tool": "Write", "at_s": at_s, "input": given}


def shell(command: str, at_s: float) -> dict[str, Any]:
    return {"kind": "tool", "tool": "Bash", "at_s": at_s, "input": {"command": command}}


def worked(folder: Path, steps: Sequence[dict[str, Any]], final: str | None, seen: Sequence[Evaluation] = ()) -> None:
    """What a session leaves in a run directory."""
    (folder / "solve").mkdir()
    lines = [json.dumps(step) for step in steps]
    (folder / "solve" / "trajectory.jsonl").write_text("\n".join(lines) + "\n")
    session = Session(agent="a", ended="finished", exit_code=0, seconds=7000, survivors=(), evaluations=tuple(seen))
    (folder / "solve" / "session.json").write_text(session.model_dump_json())
    (folder / "freeze" / "submission").mkdir(parents=True)
    if final is not None:
        (folder / "freeze" / "submission" / "start_server.sh").write_text(final)


def one(tmp_path: Path, steps: Sequence[dict[str, Any]], final: str | None, seen: Sequence[Evaluation] = ()) -> Conduct:
    (folder,) = write(tmp_path, [Fake("codex:x", "A", 0, 2.0)])
    worked(folder, steps, final, seen)
    return load([tmp_path]).runs[0].conduct


def test_edits_relaunches_and_rollbacks(tmp_path: Path) -> None:
    plain, more, other = SERVE, f"{SERVE} --block-size 32", f"{SERVE} --block-size 32 --max-num-seqs 64 --enforce-eager"
    steps = []
    for number, text in enumerate((plain, more, more, other, plain)):
        steps += [
            writes(text, 10.0 * number),
            shell("cd /workspace && bash submission/start_server.sh &", 10.0 * number + 1),
        ]
    found = one(tmp_path, steps, plain)
    assert (found.launches, found.restarts, found.identical_relaunches) == (5, 4, 1)
    assert (found.single_variable_edits, found.multi_variable_edits, found.rollbacks) == (1, 2, 1)
    assert (found.engine, found.settings, found.distinct_configurations) == ("vllm", {}, 2)


def test_best_preserved_or_lost(tmp_path: Path) -> None:
    seen = [
        evaluation(1, "a", 0.5, at_s=1000),
        evaluation(2, "b", 0.2, at_s=2000),
        evaluation(3, "", 0.4, at_s=6500),
    ]
    found = one(tmp_path, [writes(SERVE, 1), writes(f"{SERVE} --block-size 32", 1500)], SERVE, seen)
    assert found.preserved_best == pytest.approx(0.5)
    assert found.late_regression
    assert found.first_valid_s == 1100
    assert found.idle_share == pytest.approx(1 - 2100 / 7200)
    assert found.controlled_comparisons == 1
    assert found.first_working_configuration is True
    assert found.process_score is not None
    assert 0 < found.process_score < 100


def test_told_to_go_on_and_did_nothing(tmp_path: Path) -> None:
    told = {"kind": "prompt", "text": "Go on."}
    steps = [told, shell("ls", 1), told, {"kind": "message", "text": "I am done."}, told, shell("ls", 9), told]
    assert one(tmp_path, steps, SERVE).stalled_continuations == 2


def test_hostile_trajectories_do_no_harm(tmp_path: Path) -> None:
    (folder,) = write(tmp_path, [Fake("codex:x", "A", 0, 2.0)])
    worked(folder, [], None)
    junk = b'{"kind":"tool","tool":1,"input":[1]}\n\xff\xfe"tool"\n'
    junk += b'{"kind":"tool","tool":"x","at_s":"soon","input":{"a":{}}}\n'
    (folder / "solve" / "trajectory.jsonl").write_bytes(junk + b'"tool"' * 400_000)
    found = load([tmp_path]).runs[0].conduct
    assert (found.engine, found.launches, found.process_score) == (None, 0, None)


def counts(name: str, out: Path) -> dict[str, Row]:
    made = find(name).table(load([out]), Options())
    return {str(next(iter(row.values.values())).value): row for row in made.rows}


def test_published_failure_modes(tmp_path: Path) -> None:
    """105 submit their first working configuration, 9 edit more than one setting at once, 6 trip a rule, of 180."""
    bad = IntegrityResult(
        checks=(CheckResult(name="roofline", verdict=Verdict.FAIL, sample_size=1, threshold="", reason=""),),
        verdict=Verdict.FAIL,
    )
    for i in range(180):
        outcome = (
            Outcome.QUALITY_FAILED if i < 23 else Outcome.SERVER_FAILED if i < 41
            else Outcome.INTEGRITY_FLAGGED if i < 52 else Outcome.PASSED
        )  # fmt: skip
        extra = {"integrity": bad} if 41 <= i < 47 else {}
        (folder,) = write(tmp_path, [Fake(f"codex:{i // 12}", "ABCD"[i % 4], i // 4 % 3, 1.5, outcome, extra=extra)])
        final, first = f"{SERVE} --max-num-seqs 64 --block-size 32", SERVE
        steps = [writes(first, 1), writes(f"{SERVE} --block-size 32", 500), writes(final if i < 9 else first, 3000)]
        seen = [evaluation(n + 1, "" if i >= 75 else f"{i}-{n}", 0.5, at_s=600.0 + 10 * n) for n in range(1)]
        if i < 9:  # From the second to a third and fourth setting in one step.
            steps = [
                writes(first, 1),
                shell("bash start_server.sh", 2),
                writes(final, 3),
                shell("bash start_server.sh", 4),
            ]
            seen = []
        kept = SERVE if i >= 75 else final
        if i >= 75:
            steps = [writes(SERVE, 1)]
        worked(folder, steps, kept, seen)
    rows = counts("failures", tmp_path)
    names = ("first working configuration submitted", "quality below the threshold", "multi-variable edits",
             "integrity rule triggered", "server failed")  # fmt: skip
    for name, expected in zip(names, table("failures")["rows"], strict=True):
        assert rows[name].values["runs"].value == expected["runs"], name
        assert len(rows[name].values["runs"].runs) == expected["runs"]


def test_published_behaviour(tmp_path: Path) -> None:
    """Final engines 169, 1, 1, none 9; 56, 110, 11 and 3 runs with 0, 1, 2, 3 or more configurations; 81 %
    of restarts identical."""
    engines = [SERVE] * 169 + ["exec python -m sglang.launch_server", "exec ./my_server"] + [None] * 9
    sizes = [1] * 110 + [2] * 11 + [3, 3, 4] + [0] * 56
    mentioned = {"quantization": 173, "chunked prefill": 175, "speculative decoding": 151, "prefix caching": 133}
    for i in range(180):
        (folder,) = write(tmp_path, [Fake(f"codex:{i // 12}", "ABCD"[i % 4], i // 4 % 3, 1.5)])
        words = [word for word, count in mentioned.items() if i < count]
        steps: list[dict[str, Any]] = [{"kind": "prompt", "text": "try quantization"}]
        steps.append({"kind": "message", "text": " ".join(words)})
        steps.append({"kind": "result", "text": "quantization, chunked prefill, speculation, prefix caching"})
        texts = [f"{SERVE} --block-size {16 * (n + 1)}" for n in range(sizes[i])] or [SERVE]
        for n, text in enumerate(texts):
            steps += [writes(text, float(n)), shell("bash submission/start_server.sh", n + 0.5)]
        steps += [shell("bash submission/start_server.sh", 50.0)] * (i < 77)
        worked(folder, steps, engines[i])
    rows = counts("behaviour", tmp_path)
    published = table("behaviour")
    for ours, theirs in (("vllm", "vLLM"), ("sglang", "SGLang"), ("custom", "custom"), ("none", "none")):
        assert rows[f"final engine: {ours}"].values["runs"].value == published["final_framework"][theirs]
    for label, percent in published["distinct_nondefault_configs"]["percent"].items():
        assert round(float(rows[f"non-default configurations: {label}"].values["percent"].value or 0)) == percent
    assert rows["non-default configurations, median"].values["value"].value == 1
    assert round(float(rows["non-default configurations, mean"].values["value"].value or 0), 2) == 0.79
    share = published["server_restarts"]["relaunch_identical_percent"]
    assert round(float(rows["identical relaunches"].values["percent"].value or 0)) == share
    assert rows["restarts, median"].values["value"].value == published["server_restarts"]["median"]
    for name, percent in published["technique_mentions_percent"].items():
        assert round(float(rows[f"mentions {name}"].values["percent"].value or 0)) == percent


def test_conduct_is_told_by_trajectories_alone(tmp_path: Path) -> None:
    """A script leaves none: it names no technique, and was not done early either."""
    folders = write(tmp_path / "both", [Fake(agent, "A", 0, 2.0) for agent in ("codex:x", "script:y")])
    worked(folders[0], [{"kind": "message", "text": "quantization"}], SERVE)
    (folders[1] / "freeze" / "submission").mkdir(parents=True)
    (folders[1] / "freeze" / "submission" / "start_server.sh").write_text(SERVE)
    behaviour, failures = counts("behaviour", tmp_path / "both"), counts("failures", tmp_path / "both")
    for row, shown in (
        (behaviour["final engine: vllm"], (2, 2)),
        (behaviour["mentions quantization"], (1, 1)),
        (behaviour["non-default configurations: 0"], (1, 1)),
        (failures["declared itself done early"], (0, 1)),
        (failures["server failed"], (0, 2)),
    ):
        assert (row.values["runs"].value, row.values["of"].value) == shown
    note = "1 run without a trajectory (scripts, searches) enters no share of conduct"
    assert note in find("behaviour").table(load([tmp_path / "both"]), Options()).notes

    write(tmp_path / "script", [Fake("script:y", "A", 0, 2.0)])
    for name, title in (("behaviour", "mentions quantization"), ("failures", "declared itself done early")):
        assert counts(name, tmp_path / "script")[title].values.keys() == {"what" if name == "behaviour" else "mode"}


def test_bad_records_are_skipped_with_a_line_each(tmp_path: Path) -> None:
    folders = write(tmp_path, [Fake("codex:x", letter, seed, 2.0) for letter in "ABCD" for seed in range(3)])
    (folders[0] / "result.json").write_text("{")
    (folders[1] / "result.json").write_text('{"schema_version": 0, "foreign": true}')
    (folders[2] / "result.json").unlink()
    (folders[3] / "result.json").write_bytes((folders[3] / "result.json").read_bytes()[:200])
    ran = CliRunner().invoke(app, ["tables", "outcomes", str(tmp_path), "--json"])
    assert ran.exit_code == 0
    assert json.loads(ran.stdout)["rows"][0]["values"]["runs"]["value"] == 8
    assert len([line for line in ran.stderr.splitlines() if "skipped" in line]) == 4
