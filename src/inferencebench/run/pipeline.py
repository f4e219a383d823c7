"""The pipeline of one run, from top to bottom: prepare, solve, freeze, relaunch, measure, quality, integrity, score.

A killed run continues where it was: the same call skips the phases that are done.
"""

import json
from pathlib import Path

from pydantic import ValidationError

from inferencebench.agents import registry as agents
from inferencebench.errors import InfrastructureError, UserError
from inferencebench.files import write_json
from inferencebench.run import baseline as baselines
from inferencebench.run import stages
from inferencebench.run.baseline import Baseline
from inferencebench.run.bench import Bench
from inferencebench.run.judge import RunFiles, judge, write_result
from inferencebench.run.listen import listen
from inferencebench.run.machine import lease
from inferencebench.run.record import Outcome, Result
from inferencebench.run.spec import BASELINE_AGENT, RunSpec
from inferencebench.sandbox import registry as sandboxes
from inferencebench.sandbox.removal import remove_tree

ATTEMPTS = 2
"""How often a run is tried when the harness or the machine failed, never the submission."""


def run(spec: RunSpec, bench: Bench, *, wait: bool = False) -> Result:
    """Take a spec to its result; runs the baseline first where it is missing.

    Raises UserError for a directory that holds another run or (unless `wait`) is in use, InfrastructureError when the
    harness failed twice: the same call continues such a run later."""
    directory = spec.directory(bench.out)
    directory.mkdir(parents=True, exist_ok=True)
    with lease(directory / ".lock", wait=wait, on_wait=lambda: bench.reporter.note(f"waiting for {directory}")):
        claim(spec, directory)
        if spec.is_canonical_baseline:
            _forget_failure(directory)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                baseline = _execute(spec, bench)
                break
            except InfrastructureError as error:
                bench.reporter.note(f"infrastructure error, attempt {attempt} of {ATTEMPTS}: {error}")
                if attempt == ATTEMPTS:
                    raise
        result = judge(RunFiles(directory, spec), baseline)
        write_result(directory, result)
        return result


def _execute(spec: RunSpec, bench: Bench) -> Baseline | None:
    """All phases that write files; gives the baseline to judge them by (None: the run is the baseline)."""
    run = stages.RunContext(spec, bench, agents.get(spec.agent), sandboxes.get(spec.sandbox))
    ready = getattr(run.agent, "ready", None)
    try:
        if ready and not (run.directory / "solve" / "session.json").exists():
            ready()
        prepared = stages.prepare(run)
        baseline = None
        if not spec.is_canonical_baseline:
            key = bench.comparability(spec, prepared.eval.sha256, prepared.eval_questions.sha256)
            baseline = ensure_baseline(spec, bench, key)
        session = stages.solve(run, prepared, baseline)
        submission = stages.freeze_submission(run, session)
        measured = stages.measure(run, prepared, submission)
        stages.quality(run, prepared, submission, measured)
        listen(run, prepared.eval, measured)
        return baseline
    except InfrastructureError as error:
        run.events.append("infrastructure_error", error=str(error))
        raise
    finally:
        run.close()


def ensure_baseline(spec: RunSpec, bench: Bench, key: dict[str, str]) -> Baseline:
    """The finished baseline of a run: imported, found, or run now; refused when it is not comparable."""
    base = baselines.spec_of(spec, agents.get(BASELINE_AGENT).sha256)
    directory = base.directory(bench.out)
    if bench.import_baseline:
        baselines.import_from(bench.import_baseline, base, bench.out, key)
    if not (directory / baselines.RESULT_FILE).exists():
        run(base, bench, wait=True)
    return baselines.load(directory, key)


def _forget_failure(directory: Path) -> None:
    """A baseline that did not pass is measured again, since nothing can be scored without it."""
    path = directory / baselines.RESULT_FILE
    try:
        passed = json.loads(path.read_bytes())["outcome"] == Outcome.PASSED
    except (OSError, ValueError, LookupError, TypeError):
        passed = not path.exists()
    if not passed:
        for phase in ("measure", "quality"):
            remove_tree(directory / phase)


def rejudge(directory: Path, tau: float | None) -> Result:
    """The result of a finished run directory, judged again from its files, at another `tau` if given.

    Raises UserError when the directory is not a finished run or its baseline is gone."""
    try:
        spec = RunSpec.model_validate_json((directory / "spec.json").read_bytes())
    except (OSError, ValidationError) as error:
        raise UserError(f"{directory}: no readable spec.json ({str(error).splitlines()[0]})") from None
    files = RunFiles(directory, spec)
    if spec.is_canonical_baseline:
        return judge(files, None, tau)
    out = directory.absolute().parents[len(spec.directory(Path()).parts) - 1]
    base = baselines.spec_of(spec, "").directory(out)
    return judge(files, baselines.load(base, files.comparability), tau)


def claim(spec: RunSpec, directory: Path) -> None:
    """Write `spec.json`, or check that the directory already belongs to this spec.

    Raises UserError, naming the fields, when it belongs to another."""
    path = directory / "spec.json"
    if not path.exists():
        write_json(path, spec)
        return
    try:
        found = RunSpec.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise UserError(
            f"{path}: not a spec of this version ({str(error).splitlines()[0]}); use another --out"
        ) from None
    if different := found.differences(spec):
        raise UserError(
            f"{path}: belongs to another run (different: {', '.join(different)}); use --repeat or another --out"
        )
