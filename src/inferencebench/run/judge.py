"""Judging a run from its files alone: integrity, quality at any tau, outcome and score. Needs no machine, no model."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from inferencebench import RECORD_VERSION, __version__
from inferencebench.agents import prices
from inferencebench.agents.meter import SessionUsage, by_model, stored_calls
from inferencebench.engines.recognition import of_submission
from inferencebench.files import read_jsonl, write_json
from inferencebench.gates.integrity import checks, run_checks
from inferencebench.gates.integrity.model import Evidence as IntegrityEvidence
from inferencebench.gates.integrity.model import IntegrityResult, Recalled, ServerEnd
from inferencebench.gates.integrity.registry import missing_required, overall
from inferencebench.gates.integrity.static.check import StaticRules
from inferencebench.gates.integrity.static.engine import ForcedEngine
from inferencebench.gates.integrity.static.model import Finding
from inferencebench.gates.integrity.static.scan import scan
from inferencebench.gates.integrity.tokens import calibrate_band
from inferencebench.gates.quality import Answer, QualityResult, unjudged, verdict
from inferencebench.load.model import RequestSample, Samples
from inferencebench.run import baseline as baselines
from inferencebench.run import decisions, judges, preflight, score, stored
from inferencebench.run.baseline import Baseline
from inferencebench.run.damage import LOG, damaged
from inferencebench.run.freeze import changed
from inferencebench.run.outcome import Evidence, decide
from inferencebench.run.phases import finished_seconds
from inferencebench.run.record import (
    BestSeen,
    Cost,
    Machine,
    Manifest,
    Measured,
    MetricValue,
    Provenance,
    Result,
    Session,
)
from inferencebench.run.spec import RunSpec
from inferencebench.workload import canary
from inferencebench.workload.model import SpeedRequest
from inferencebench.workload.questions import read_questions
from inferencebench.workload.requests import read_requests

T = TypeVar("T")

SUBMISSION = Path("freeze", "submission")
INTEGRITY_FILE = Path("integrity", "integrity.json")
OF_FILES = (StaticRules.name, ForcedEngine.name)
"""Checks of the submission's files."""


class RunFiles:
    """The finished phases of a run directory, read back."""

    def __init__(self, directory: Path, spec: RunSpec) -> None:
        """Raises UserError, naming the file, when one is missing or damaged, or is not what its phase wrote."""
        stored.check_unchanged(directory)
        self.directory, self.spec = directory, spec
        self.measured = stored.record(directory / "measure" / "measured.json", Measured)
        self.machine = stored.record(directory / "measure" / "machine.json", Machine)
        self.session = stored.record(directory / "solve" / "session.json", Session)
        manifest = directory / "freeze" / "manifest.json"
        measured = self.measured.failure is None
        self.manifest = stored.record(manifest, Manifest) if measured or manifest.exists() else None
        self.comparability = stored.reading(
            directory / baselines.KEY_FILE, lambda path: baselines.KEY.validate_json(path.read_bytes())
        )
        self.requests = read_requests(directory / "prepare" / "eval.jsonl")
        self.questions = read_questions(directory / "prepare" / "eval_questions.jsonl")
        for name, found in (("requests", self.requests), ("questions", self.questions)):
            if self.comparability.get(name) != found.sha256:
                raise damaged(found.path, f"not the {name} that {baselines.KEY_FILE} names")
        self.answers = stored.reading(
            directory / baselines.ANSWERS_FILE,
            lambda path: [Answer.model_validate(row) for row in read_jsonl(path)],
        )

    @property
    def campaign(self) -> Path:
        """The campaign directory that holds the run."""
        return self.directory.absolute().parents[len(self.spec.directory(Path()).parts) - 1]

    @cached_property
    def _stopped(self) -> list[dict[str, Any]]:
        """The log's lines on the ends of measured servers, newest last."""
        return [event for event in stored.events(self.directory) if event.get("event") == "server_stopped"]

    @cached_property
    def _seen(self) -> bool:
        """Whether the log has the end of every measured server, and of one at least."""
        return len(self._stopped) >= max(1, len(self.measured.launches))

    def _of_log(self, read: Callable[[], T]) -> T:
        """What `read` makes of the log. Raises UserError when a line is not of the kind that we write."""
        return stored.reading(self.directory / LOG, lambda _: read())

    def names(self) -> tuple[str, ...] | None:
        """Host names that the measured servers asked for; None when nobody listened, or not to all of them."""
        if not self._seen:
            return None
        heard = [end["names"] for end in self._stopped if end.get("names") is not None]
        found = self._of_log(lambda: tuple(dict.fromkeys(str(name) for names in heard for name in names)))
        return found if heard else None

    def ends(self) -> list[ServerEnd]:
        """What was seen of each measured server by its end, newest last; records of older versions tell nothing."""
        return self._of_log(lambda: list(map(ServerEnd.of, self._stopped)))

    def survivors(self) -> tuple[int, ...] | None:
        """Processes that outlived the end of the session or of a server; None when not every server's end was seen."""
        pids = self._of_log(lambda: [int(pid) for end in self._stopped for pid in end.get("survivors", ())])
        return (*self.session.survivors, *pids) if self._seen else None


def _recalled(planned: Mapping[str, SpeedRequest], samples: Sequence[RequestSample]) -> tuple[Recalled, ...]:
    """What became of each canary that was answered."""
    found = []
    for sample in samples:
        request = planned.get(sample.id)
        code = canary.code_in(request) if request else None
        if request is None or code is None or not sample.ok:
            continue
        other = canary.code_in(planned[request.of]) if request.of in planned else None
        stale = other is not None and canary.says(sample.text, other)
        found.append(Recalled(sample.id, canary.says(sample.text, code), stale))
    return tuple(found)


def judge(run: RunFiles, baseline: Baseline | None, tau: float | None = None) -> Result:
    """The run's result. `baseline` None: this run is its own baseline. `tau` overrides the suite's.

    Raises UserError when anything is missing of what was measured, here or of the baseline."""
    spec, measured = run.spec, run.measured
    metric, valid = spec.the_scenario.metric, measured.failure is None
    samples = stored.samples(run.directory, measured) if valid else []
    quality = _quality(run, baseline, tau)
    theirs = stored.samples(baseline.directory, baseline.measured) if baseline else samples
    reference = [launch.requests for launch in theirs]
    integrity = _integrity(run, samples, [r for launch in reference for r in launch], baseline)
    recorded = decisions.current(run.directory, integrity, run.manifest.sha256 if run.manifest else "")
    missing = missing_required(integrity) if integrity else ()
    decision = decide(
        Evidence(None, measured.failure, integrity, quality, recorded, missing, reference=spec.is_canonical_baseline)
    )
    value = score.mean_over_launches(measured, metric)
    replicates = score.bootstrap([launch.requests for launch in samples], metric, stream=0) if valid else None
    if baseline is None:
        base_value, base_replicates = value, replicates
    else:
        base_value = score.mean_over_launches(baseline.measured, metric)
        base_replicates = score.bootstrap(reference, metric, stream=1)
    raw = score.raw_speedup(metric, value, base_value)
    return Result(
        schema_version=RECORD_VERSION,
        suite=spec.suite.name,
        scenario=spec.scenario,
        agent=spec.agent,
        condition=spec.condition.name,
        seed_pair=spec.seed_pair,
        repeat=spec.repeat,
        outcome=decision.outcome,
        reason=decision.reason,
        ranked=run.machine.sandbox_verified and not spec.share_device and decision.outcome.scored,
        speedup=score.speedup(decision, raw, is_baseline=spec.is_baseline),
        raw_speedup=raw,
        raw_speedup_ci95=score.speedup_interval(replicates, base_replicates) if baseline else None,
        metric=MetricValue(
            name=metric, value=value, baseline=base_value, baseline_ci95=score.interval(base_replicates)
        ),
        measurement=measured,
        quality=quality,
        integrity=integrity,
        decision=recorded,
        preflight=preflight.read(run.directory),
        best_seen=_best_seen(run),
        baseline=baseline.ref if baseline else None,
        cost=_cost(run),
        provenance=_provenance(run),
    )


def _quality(run: RunFiles, baseline: Baseline | None, tau: float | None) -> QualityResult | None:
    if run.measured.failure is not None:
        return None
    asked = sorted(question.id for question in run.questions.questions)
    if sorted(answer.question_id for answer in run.answers) != asked:
        raise damaged(run.directory / baselines.ANSWERS_FILE, "not the answers to the questions that were asked")
    gate = run.spec.suite.quality
    reference = baseline.answers if baseline else run.answers
    found = verdict(run.answers, reference, tau or gate.tau, gate.min_answered)
    random_weights = run.spec.suite.model.source.kind == "random"
    return unjudged(found, run.answers, reference) if random_weights else found


def _integrity(
    run: RunFiles, samples: list[Samples], reference: Sequence[RequestSample], baseline: Baseline | None
) -> IntegrityResult | None:
    """All checks; the re-tokenization error of `reference`, the baseline's samples, widens the token audit's band."""
    if run.measured.failure is not None:
        return None
    theirs = baseline or run
    probed = stored.probes(run.directory, run.measured, run.requests)
    their_probed = stored.probes(theirs.directory, theirs.measured, run.requests)
    kinds = {kind: {r.id: r for r in run.requests.requests if r.probe == kind} for kind in ("short", "canary")}
    evidence = IntegrityEvidence(
        suite=run.spec.suite,
        scenario=run.spec.the_scenario,
        peaks=run.machine.peaks,
        requests=tuple(r for launch in samples for r in launch.requests),
        chunks=tuple(c for launch in samples for c in launch.chunks),
        planned=tuple(r for r in run.requests.requests if r.counted),
        survivors=run.survivors(),
        measurements=run.measured.measurements,
        token_band=calibrate_band(reference),
        names=run.names(),
        ends=tuple(run.ends()),
        shorts=tuple(s for s in probed if s.id in kinds["short"]),
        canaries=_recalled(kinds["canary"], probed),
        reference_canaries=_recalled(kinds["canary"], their_probed),
        likelihoods=stored.likelihoods(run.directory, run.spec.suite),
        reference_likelihoods=stored.likelihoods(theirs.directory, run.spec.suite),
        answers=tuple(run.answers),
        reference_answers=tuple(theirs.answers),
        findings=_findings(run),
        forced_engine=run.spec.condition.engine_only,
        engine=recognised.engine if (recognised := of_submission(run.directory / SUBMISSION)) else None,
    )
    found = _checked(run, evidence)
    panel = judges.newest(run.directory, found)
    return found if panel is None else _checked(run, replace(evidence, panel=panel))


def _findings(run: RunFiles) -> tuple[Finding, ...] | None:
    """What the static rules find in the frozen submission; None where its files are not all kept.

    Raises UserError when one that is kept is not the one that was frozen."""
    folder = run.directory / SUBMISSION
    frozen = run.manifest.files if run.manifest else ()
    if (other := changed(folder, frozen)) is not None:
        raise damaged(folder / other, "not the file that was frozen")
    kept = folder.is_dir() and all(os.path.lexists(folder / file.path) for file in frozen)
    return scan(folder) if kept else None


def _checked(run: RunFiles, evidence: IntegrityEvidence) -> IntegrityResult:
    """Run all checks. A copy of the records may leave a submission's files out: what was said of them then stands.

    Raises UserError when they are gone and nothing was, or not by all checks of them."""
    found = run_checks(evidence)
    if evidence.findings is not None or not (run.manifest and run.manifest.files):
        return found
    earlier = stored.record(run.directory / INTEGRITY_FILE, IntegrityResult)
    said = {check.name: check for check in earlier.checks if check.name in OF_FILES}
    if unsaid := {check.name for check in found.checks if check.name in OF_FILES} - said.keys():
        what = f"nothing of {', '.join(sorted(unsaid))}, and the submission is gone"
        raise damaged(run.directory / INTEGRITY_FILE, what)
    results = tuple(said.get(check.name, check) for check in found.checks)
    return IntegrityResult(checks=results, verdict=overall(checks(), results))


def _best_seen(run: RunFiles) -> BestSeen | None:
    """The best full evaluation that was valid and, as far as judged, passed the gate (found; not scored)."""
    metric = run.spec.the_scenario.metric
    found = [e for e in run.session.evaluations if e.ok and not e.quick and e.quality_passed is not False]
    if not found:
        return None
    best = (min if metric.lower_is_better else max)(found, key=lambda e: e.value or 0.0)
    return BestSeen(
        evaluation=best.id,
        value=best.value or 0.0,
        submission_sha256=best.submission_sha256,
        is_final=run.manifest is not None and run.manifest.sha256 == best.submission_sha256,
    )


def _cost(run: RunFiles) -> Cost:
    seconds = {
        name: finished_seconds(run.directory, name)
        for name in ("prepare", "solve", "freeze", "measure", "quality", "likelihood")
    }
    return Cost(
        solve_s=seconds["solve"],
        measure_s=seconds["measure"],
        quality_s=seconds["quality"],
        audit_s=seconds["likelihood"],
        total_s=round(sum(seconds.values()), 3),
        **_api_cost(run),
    )


def _api_cost(run: RunFiles) -> dict[str, Any]:
    """Part of `Cost`: the agent's model calls, at the prices that are known now."""
    session = run.directory / "solve" / "session"
    calls = stored_calls(session / "requests.jsonl")
    if not any(call.billed for call in calls):
        return {}
    table = prices.load(run.campaign)
    rows = by_model(calls, table)
    known = [row.usd for row in rows if row.usd is not None]
    return {
        "api_usd": round(sum(known), 9) if len(known) == len(rows) else None,
        "models": rows,
        "credential": stored.record(session / "usage.json", SessionUsage).credential,
        "prices": f"{table.as_of}, {table.source}",
    }


def _provenance(run: RunFiles) -> Provenance:
    machine = run.machine
    return Provenance(
        inferencebench=__version__,
        measurement_version=run.measured.measurement_version,
        suite_sha256=run.spec.suite_sha256,
        requests_sha256=run.requests.sha256,
        questions_sha256=run.questions.sha256,
        salt_sha256=machine.salt_sha256,
        submission_sha256=run.manifest.sha256 if run.manifest else "",
        checkpoint_sha256=machine.checkpoint_sha256,
        hardware_sha256=machine.hardware.sha256,
        server_cpus=machine.server_cpus,
        client_cpus=machine.client_cpus,
        sandbox=run.spec.sandbox,
        sandbox_verified=machine.sandbox_verified,
        share_device=run.spec.share_device,
        software=machine.software,
    )


def write_result(directory: Path, result: Result) -> None:
    """Store the integrity evidence and the result."""
    write_json(
        directory / INTEGRITY_FILE,
        result.integrity.model_dump(mode="json") if result.integrity else None,
    )
    write_json(directory / "result.json", result)
