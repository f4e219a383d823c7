"""The integrity checks over a run's files."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from inferencebench.engines.recognition import of_submission
from inferencebench.engines.registry import forces_length
from inferencebench.gates.integrity import checks, run_checks
from inferencebench.gates.integrity.model import Evidence, IntegrityResult, Recalled
from inferencebench.gates.integrity.registry import overall
from inferencebench.gates.integrity.static.check import StaticRules
from inferencebench.gates.integrity.static.engine import ForcedEngine
from inferencebench.gates.integrity.static.model import Finding
from inferencebench.gates.integrity.static.scan import scan
from inferencebench.gates.integrity.tokens import calibrate_band
from inferencebench.load.model import RequestSample, Samples
from inferencebench.run import judges, stored
from inferencebench.run.baseline import Baseline
from inferencebench.run.damage import damaged
from inferencebench.run.freeze import changed
from inferencebench.run.runfiles import RunFiles
from inferencebench.workload import canary
from inferencebench.workload.model import SpeedRequest

SUBMISSION = Path("freeze", "submission")
INTEGRITY_FILE = Path("integrity", "integrity.json")
OF_FILES = (StaticRules.name, ForcedEngine.name)
"""Checks of the submission's files."""


def integrity_of(
    run: RunFiles, samples: list[Samples], reference: Sequence[RequestSample], baseline: Baseline | None
) -> IntegrityResult | None:
    """All checks; None when nothing was measured. The re-tokenization error of `reference`, the baseline's
    samples, widens the token audit's band."""
    if run.measured.failure is not None:
        return None
    theirs = baseline or run
    probed = stored.probes(run.directory, run.measured, run.requests)
    their_probed = stored.probes(theirs.directory, theirs.measured, run.requests)
    kinds = {kind: {r.id: r for r in run.requests.requests if r.probe == kind} for kind in ("short", "canary")}
    recognised = of_submission(run.directory / SUBMISSION)
    engine = recognised.engine if recognised else None
    evidence = Evidence(
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
        engine=engine,
        forces_length=forces_length(engine),
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


def _checked(run: RunFiles, evidence: Evidence) -> IntegrityResult:
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
