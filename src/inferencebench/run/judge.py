"""Judging a run from its files alone: integrity, quality at any tau, outcome and score. Needs no machine, no model."""

from pathlib import Path
from typing import Any

from inferencebench import RECORD_VERSION, __version__
from inferencebench.agents import prices
from inferencebench.agents.meter import SessionUsage, by_model, stored_calls
from inferencebench.files import write_json
from inferencebench.gates.integrity.registry import missing_required
from inferencebench.gates.quality import QualityResult, unjudged, verdict
from inferencebench.run import baseline as baselines
from inferencebench.run import decisions, preflight, score, stored
from inferencebench.run.baseline import Baseline
from inferencebench.run.checked import INTEGRITY_FILE, integrity_of
from inferencebench.run.damage import damaged
from inferencebench.run.outcome import Evidence, decide
from inferencebench.run.phases import finished_seconds
from inferencebench.run.record import BestSeen, Cost, MetricValue, Provenance, Result
from inferencebench.run.runfiles import RunFiles


def judge(run: RunFiles, baseline: Baseline | None, tau: float | None = None) -> Result:
    """The run's result. `baseline` None: this run is its own baseline. `tau` overrides the suite's.

    Raises UserError when anything is missing of what was measured, here or of the baseline."""
    spec, measured = run.spec, run.measured
    metric, valid = spec.the_scenario.metric, measured.failure is None
    samples = stored.samples(run.directory, measured) if valid else []
    quality = _quality(run, baseline, tau)
    theirs = stored.samples(baseline.directory, baseline.measured) if baseline else samples
    reference = [launch.requests for launch in theirs]
    integrity = integrity_of(run, samples, [r for launch in reference for r in launch], baseline)
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
