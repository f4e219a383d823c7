"""Rescoring a campaign in which some runs are damaged."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from inferencebench.cli.main import app
from inferencebench.doctor.hardware import HardwareFingerprint
from inferencebench.errors import UserError
from inferencebench.files import sha256_json, write_json
from inferencebench.run.judge import write_result
from inferencebench.run.phases import Stamp
from inferencebench.run.pipeline import rejudge
from inferencebench.run.record import Machine, Measured, ServerFailure, Session
from inferencebench.run.spec import BASELINE_AGENT, Condition, RunSpec
from inferencebench.suites.load import load
from inferencebench.workload.model import Message, Question, SpeedRequest
from inferencebench.workload.records import write_records

ASK = (Message(role="user", content="Count."),)


def failed_run(out: Path, scenario: str) -> Path:
    """The directory of a whole run whose server did not come up: every file that judging reads, and no samples."""
    suite = load("laptop-mini")
    spec = RunSpec.create(
        suite,
        scenario=scenario,
        agent=BASELINE_AGENT,
        agent_sha256=sha256_json("launcher"),
        condition=Condition(),
        seed_pair=suite.seed_pairs[0],
        sandbox="process",
    )
    folder = spec.directory(out)
    hardware = HardwareFingerprint(cpu_model="any", cores=2, memory_gib=8, kernel="6", architecture="x86_64", gpus=())
    machine = Machine(
        hardware=hardware,
        peaks=None,
        server_cpus=(0,),
        client_cpus=(1,),
        software={},
        checkpoint_sha256="",
        salt_sha256="",
        sandbox_verified=False,
    )
    failure = ServerFailure(reason="server did not come up")
    write_json(folder / "spec.json", spec)
    write_json(folder / "measure" / "machine.json", machine)
    measured = Measured(measurement_version=1, launches=(), measurements=(), failure=failure)
    write_json(folder / "measure" / "measured.json", measured)
    session = Session(agent=spec.agent, ended="finished", exit_code=0, seconds=1.0, survivors=())
    write_json(folder / "solve" / "session.json", session)
    request = SpeedRequest(
        id="burst/0000", profile="burst", messages=ASK, prompt_tokens=9, max_tokens=8, temperature=0, seed=1, offset_s=0
    )
    key = {
        "requests": write_records(folder / "prepare" / "eval.jsonl", [request]),
        "questions": write_records(
            folder / "prepare" / "eval_questions.jsonl", [Question(id="q", messages=ASK, gold="x")]
        ),
    }
    write_json(folder / "measure" / "comparability.json", key)
    (folder / "quality").mkdir()
    (folder / "quality" / "answers.jsonl").write_text("")
    for phase in ("prepare", "solve", "freeze", "measure", "quality", "likelihood"):
        write_json(folder / phase / "phase.json", Stamp(phase=phase, inputs_sha256="", outputs={}, seconds=1.0))
    write_result(folder, rejudge(folder, None))
    return folder


@pytest.mark.parametrize("damaged", ["measure/measured.json", "solve/session.json", "prepare/eval.jsonl", "spec.json"])
def test_a_damaged_run_is_said_and_the_rest_is_judged(tmp_path: Path, damaged: str) -> None:
    torn, whole = failed_run(tmp_path, "decode"), failed_run(tmp_path, "prefill")
    (torn / damaged).write_text("{")
    done = CliRunner().invoke(app, ["rescore", str(tmp_path), "--json"])
    assert done.exit_code == 0, done.exception
    assert [r["scenario"] for r in json.loads(done.stdout)] == ["prefill"]
    assert f"{torn}: skipped, " in done.stderr
    assert damaged in done.stderr
    assert str(whole) not in done.stderr


def test_a_missing_stamp_is_damage_too(tmp_path: Path) -> None:
    (failed_run(tmp_path, "decode") / "solve" / "phase.json").unlink()
    failed_run(tmp_path, "prefill")
    done = CliRunner().invoke(app, ["rescore", str(tmp_path)])
    assert done.exit_code == 0, done.exception
    assert "no stamp of a finished phase" in done.stderr
    assert "prefill" in done.stdout


def test_nothing_judged_is_bad_input(tmp_path: Path) -> None:
    (failed_run(tmp_path, "decode") / "measure" / "measured.json").unlink()
    done = CliRunner().invoke(app, ["rescore", str(tmp_path)])
    assert isinstance(done.exception, UserError)
    assert str(done.exception) == f"{tmp_path}: no run there could be judged"
