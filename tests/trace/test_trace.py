"""The timeline and the ATIF document of a stored session, checked by the format's own models where installed."""

import json
from pathlib import Path

import pytest

from inferencebench.agents.install import Installed, Package
from inferencebench.agents.meter import SessionUsage
from inferencebench.agents.providers import CredentialKind
from inferencebench.agents.trajectory import Step, StepKind
from inferencebench.agents.usage import ModelUsage, Usage
from inferencebench.files import canonical_json, write_json
from inferencebench.run.record import Evaluation
from inferencebench.suites.model import Metric
from tests.e2e.conftest import bench
from tests.run.stored import stored_run

STEPS = (
    Step(at_s=0.0, kind=StepKind.PROMPT, text="Make it fast."),
    Step(at_s=1.0, kind=StepKind.REASONING, text="Hm."),
    Step(at_s=2.0, kind=StepKind.TOOL, tool="Bash", call_id="a", input={"command": "ls\x1b[31m"},
         usage=Usage(input_tokens=10, cached_input_tokens=5, cache_write_tokens=1, output_tokens=3)),
    Step(at_s=9.0, kind=StepKind.RESULT, call_id="a", text="files", ok=True),
    Step(at_s=9.5, kind=StepKind.RESULT, call_id="gone", text="of no call"),
    Step(at_s=9.6, kind=StepKind.ERROR, text="429"),
    Step(at_s=10.0, kind=StepKind.END, ok=False),
)  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    stored_run(tmp_path, "engine:pytorch")
    evaluation = Evaluation(
        id=1, at_s=4.0, seconds=2.0, quick=False, submission_sha256="", ok=True, metric=Metric.BALANCED, value=3.5
    )
    folder = stored_run(tmp_path, "script:x", evaluations=(evaluation,))
    rows = b"".join(canonical_json(step) + b"\n" for step in STEPS) + b'{"kind": "nonsense"}\n[1]\n{"torn'
    (folder / "solve" / "trajectory.jsonl").write_bytes(rows)
    return folder


def test_evaluations_stand_among_the_steps_in_time(run: Path) -> None:
    shown = bench("trace", run)
    order = [shown.stdout.index(text) for text in ("Make it fast", "ls\\x1b", "evaluation", "files", "429", "finished")]
    assert order == sorted(order)
    assert "\x1b" not in shown.stdout
    assert "2 steps cannot be read" in shown.stderr


def test_the_document_is_atif(run: Path) -> None:
    document = json.loads(bench("trace", run, "--json").stdout)
    calls = [s for s in document["steps"] if "tool_calls" in s]
    assert calls[0]["observation"]["results"][0]["content"] == "files"
    assert calls[0]["metrics"] == {"prompt_tokens": 16, "completion_tokens": 3, "cached_tokens": 5}
    assert document["extra"]["evaluations"][0]["value"] == 3.5
    atif = pytest.importorskip("atif", reason="pip install atif")
    assert len(atif.Trajectory.model_validate(document).steps) == len(STEPS) - 1


def test_the_totals_are_those_of_the_proxy(run: Path) -> None:
    usage = Usage(input_tokens=70, cached_input_tokens=20, cache_write_tokens=10, output_tokens=9, requests=2)
    rows = (ModelUsage(model="m", usage=usage, usd=0.5), ModelUsage(model="n", usage=usage, usd=0.25))
    folder = run / "solve" / "session"
    write_json(folder / "usage.json", SessionUsage(credential=CredentialKind.API_KEY, models=rows))
    package = Package(name="x", npm="x", version="1.2.3", program="x")
    write_json(
        folder / "installed.json", Installed(package=package, reported_version="1.2.3", lock_sha256="", integrity={})
    )
    document = json.loads(bench("trace", run, "--json").stdout)
    assert document["agent"] == {"name": "script", "version": "1.2.3", "model_name": "x"}
    totals = document["final_metrics"]
    assert (totals["total_prompt_tokens"], totals["total_cached_tokens"], totals["total_cost_usd"]) == (200, 40, 0.75)
    pytest.importorskip("atif", reason="pip install atif").Trajectory.model_validate(document)
    shown = " ".join(bench("trace", run).stdout.split())
    assert "m: 2 calls, tokens: 70 fresh, 20 cached, 10 written, 9 out; $0.5000 at list prices" in shown


def test_a_run_without_steps_and_a_directory_that_is_none(tmp_path: Path) -> None:
    stored_run(tmp_path, "engine:pytorch")
    document = json.loads(bench("trace", stored_run(tmp_path, "script:y"), "--json").stdout)
    pytest.importorskip("atif", reason="pip install atif").Trajectory.model_validate(document)
    assert "not a run directory" in bench("trace", tmp_path / "none", code=2).stderr


def test_the_title_is_one_line_however_narrow_the_table(tmp_path: Path) -> None:
    stored_run(tmp_path, "engine:pytorch")
    name = f"script:{'y' * 60}"
    assert bench("trace", stored_run(tmp_path, name)).stdout.splitlines()[0] == f"{name} (default)"
