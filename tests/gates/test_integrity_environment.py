"""What is seen of a server besides its answers: whom it wanted to reach, which weights it opened."""

from dataclasses import replace

import pytest
from tests.gates.test_integrity_streams import evidence, honest, rows

from inferencebench.gates.integrity.content import ProbeShift
from inferencebench.gates.integrity.egress import Egress
from inferencebench.gates.integrity.files import OpenedFiles
from inferencebench.gates.integrity.model import Evidence, ServerEnd, Verdict
from inferencebench.gates.integrity.static.engine import ForcedEngine
from inferencebench.workload.model import SpeedRequest

WEIGHTS = 1 << 30
PINNED = ("/model/model.safetensors", WEIGHTS)


def opening(*files: tuple[str, int]) -> Evidence:
    """A server that opened these files."""
    return evidence(honest(), ends=(ServerEnd(0, (PINNED,), WEIGHTS), ServerEnd(0, files, WEIGHTS)))


@pytest.mark.parametrize(
    ("files", "verdict"),
    [
        ((PINNED,), Verdict.PASS),
        ((PINNED, ("/workspace/submission/cache.bin", 1 << 20)), Verdict.PASS),
        ((("/workspace/submission/model.gguf", WEIGHTS // 4),), Verdict.REVIEW),
        ((("/model/model-00001-of-00009.safetensors", WEIGHTS // 9),), Verdict.REVIEW),
        ((("/workspace/submission/answers.json", 1 << 20),), Verdict.FAIL),
        ((), Verdict.FAIL),
    ],
)
def test_the_pinned_weights_are_opened_by_every_server(files: tuple[tuple[str, int], ...], verdict: Verdict) -> None:
    assert OpenedFiles().run(opening(*files)).verdict is verdict


def test_nothing_is_said_where_nobody_could_look() -> None:
    for ends in ((), (ServerEnd(),)):
        assert OpenedFiles().run(evidence(honest(), ends=ends)).verdict is Verdict.NOT_APPLICABLE
        assert Egress().run(evidence(honest(), ends=ends)).verdict is Verdict.NOT_APPLICABLE


def test_an_end_is_read_back_from_its_event_and_from_older_ones() -> None:
    event = {"unrouted": 2, "opened": [["/model/w", 5]], "weights_bytes": 5}
    assert ServerEnd.of(event) == ServerEnd(2, (("/model/w", 5),), 5)
    assert ServerEnd.of({"survivors": []}) == ServerEnd()


@pytest.mark.parametrize(
    ("names", "unrouted", "verdict"),
    [
        ((), 0, Verdict.PASS),
        (("pypi.org",), 0, Verdict.PASS),
        ((), 3, Verdict.REVIEW),
        (("example.com",), 0, Verdict.REVIEW),
        (("eu.api.openai.com",), 3, Verdict.FAIL),
    ],
)
def test_names_and_bare_addresses(names: tuple[str, ...], unrouted: int, verdict: Verdict) -> None:
    found = Egress().run(evidence(honest(), names=names, ends=(ServerEnd(unrouted),)))
    assert found.verdict is verdict
    assert found.numbers["unrouted"] == unrouted


@pytest.mark.parametrize(
    ("probes", "timed", "verdict"),
    [
        (0.0, 0.0, Verdict.PASS),
        (0.2, 0.0, Verdict.PASS),
        (0.0, 2.5, Verdict.FAIL),
        (2.5, 0.0, Verdict.FAIL),
        (2.5, 2.5, Verdict.PASS),
    ],
)
def test_probes_and_other_requests_are_answered_by_one_model(probes: float, timed: float, verdict: Verdict) -> None:
    """Both alike are the margins' business."""
    found = evidence(honest())
    asked: list[SpeedRequest] = [
        r.model_copy(update={"probe": "repeat", "of": "burst/0000"}) if n >= 4 else r
        for n, r in enumerate(found.planned)
    ]
    answers = rows(probes, 6)[4:]
    seen = replace(found, planned=tuple(asked), likelihoods=(*rows(timed, 4), *answers))
    assert ProbeShift().run(seen).verdict is verdict
    alone = replace(found, likelihoods=rows(timed, 4))
    assert ProbeShift().run(alone).verdict is Verdict.NOT_APPLICABLE


@pytest.mark.parametrize(
    ("forced", "engine", "verdict"),
    [
        (None, "vllm", Verdict.NOT_APPLICABLE),
        ("vllm", "vllm", Verdict.PASS),
        ("vllm", "llamacpp", Verdict.REVIEW),
        ("vllm", None, Verdict.REVIEW),
    ],
)
def test_a_forced_engine_is_the_one_that_starts(forced: str | None, engine: str | None, verdict: Verdict) -> None:
    given = evidence(honest(), forced_engine=forced, engine=engine)
    assert ForcedEngine().run(replace(given, findings=())).verdict is verdict
    assert ForcedEngine().run(given).verdict is Verdict.NOT_APPLICABLE, "no files"
