"""The records in results: everybody can score them again, and make their request sets again from the disclosed salt."""

from pathlib import Path

import pytest
from pydantic import TypeAdapter
from typer.testing import CliRunner

from inferencebench.analysis.collect import collect
from inferencebench.cli.main import app
from inferencebench.files import sha256_bytes
from inferencebench.models.synthetic import without_weights
from inferencebench.run.record import Result
from inferencebench.run.salt import NAME
from inferencebench.run.spec import RunSpec
from inferencebench.workload.corpus import load_corpus
from inferencebench.workload.questions import build_questions, read_questions
from inferencebench.workload.requests import build_requests, read_requests
from inferencebench.workload.tokens import ChatTokenizer

RECORDS = Path(__file__).parents[2] / "results" / "h100-2026"


def test_scored_again_without_the_machine_every_run_is_what_it_was() -> None:
    was = [result for _, result in collect([RECORDS]).results]
    ran = CliRunner().invoke(app, ["rescore", str(RECORDS), "--json"])
    assert ran.exit_code == 0, ran.output
    now = TypeAdapter(list[Result]).validate_json(ran.stdout)
    assert len(was) == len(now) == 36
    for before, after in zip(was, now, strict=True):
        for name in ("agent", "outcome", "reason", "speedup", "raw_speedup", "metric", "baseline"):
            assert getattr(after, name) == getattr(before, name), (before.agent, before.scenario, name)
        verdicts = [result.integrity.verdict for result in (before, after) if result.integrity]
        assert verdicts[0] == verdicts[1]
        agreements = [result.quality.agreement for result in (before, after) if result.quality]
        assert agreements[0] == pytest.approx(agreements[1], rel=1e-12), "a sum of floats, by another interpreter"


def test_the_salt_gives_the_same_requests_and_questions_again(tmp_path: Path) -> None:
    """On another machine and another Python than theirs."""
    salt = (RECORDS / NAME).read_bytes()
    sets = {(r.scenario, r.seed_pair): (directory, r.provenance) for directory, r in collect([RECORDS]).results}
    assert len(sets) == 8
    tokenizer = None
    for directory, provenance in sets.values():
        spec = RunSpec.model_validate_json((directory / "spec.json").read_bytes())
        if tokenizer is None:
            without_weights(spec.suite.model, tmp_path)
            tokenizer = ChatTokenizer.load(tmp_path)
        requests, questions = tmp_path / "eval.jsonl", tmp_path / "questions.jsonl"
        build_requests(
            spec.suite,
            spec.the_scenario,
            seed=spec.seed_pair.eval,
            side="eval",
            salt=salt,
            tokenizer=tokenizer,
            corpus=load_corpus(spec.suite.corpus, None),
            out=requests,
        )
        build_questions(spec.suite, seed=spec.seed_pair.eval, side="eval", salt=salt, out=questions, source=None)
        assert sha256_bytes(b"salt:" + salt) == provenance.salt_sha256
        assert read_requests(requests).sha256 == provenance.requests_sha256
        assert read_questions(questions).sha256 == provenance.questions_sha256
