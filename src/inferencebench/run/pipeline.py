"""The pipeline of one run, from top to bottom: prepare, solve, freeze, relaunch, measure, quality, integrity, score.

A killed run continues where it was: the same call skips the phases that are done.
"""

import json
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from inferencebench.agents import registry as agents
from inferencebench.errors import InfrastructureError, UserError
from inferencebench.files import sha256_json, write_json
from inferencebench.run import baseline as baselines
from inferencebench.run import preflight, stages
from inferencebench.run.baseline import Baseline
from inferencebench.run.bench import Bench
from inferencebench.run.judge import judge, write_result
from inferencebench.run.launches import Device, LiveServer
from inferencebench.run.listen import listen
from inferencebench.run.machine import lease
from inferencebench.run.phases import identity
from inferencebench.run.record import Outcome, Result
from inferencebench.run.runfiles import RunFiles
from inferencebench.run.spec import BASELINE_AGENT, RunSpec
from inferencebench.sandbox import registry as sandboxes
from inferencebench.sandbox.removal import remove_tree
from inferencebench.suites.unreadable import unreadable

ATTEMPTS = 2
"""How often a run is tried when the harness or the machine failed, never the submission."""


def run(spec: RunSpec, bench: Bench, *, wait: bool = False) -> Result:
    """Take a spec to its result; runs the baseline first where it is missing.

    Raises UserError for a directory that holds another run or (unless `wait`) is in use, InfrastructureError when the
    harness failed twice: the same call continues such a run later."""
    return run_together([spec], bench, wait=wait)[0]


def run_together(
    specs: Sequence[RunSpec], bench: Bench, *, wait: bool = False, check_machine: bool = False
) -> list[Result]:
    """Take several scenarios of one agent to their results, phase by phase: those whose submissions are the same are
    measured on one launch. With `check_machine` what is not finished starts on a fit machine only.

    Raises what `run` raises."""
    directories = [spec.directory(bench.out) for spec in specs]
    with ExitStack() as leases:
        for spec, directory in zip(specs, directories, strict=True):
            directory.mkdir(parents=True, exist_ok=True)
            note = partial(bench.reporter.note, f"waiting for {directory}")
            leases.enter_context(lease(directory / ".lock", wait=wait, on_wait=note))
            claim(spec, directory)
            if spec.is_canonical_baseline:
                _forget_failure(directory)
            # With the lock: another process's server would be found on the GPU, and its findings lost.
            if check_machine and not (directory / baselines.RESULT_FILE).exists():
                preflight.check(bench.out, directory, bench.gpus)
        places = list(map(identity, directories))
        for attempt in range(1, ATTEMPTS + 1):
            try:
                found = _execute(specs, bench)
                results = [_judged(spec, bench, baseline) for spec, baseline in zip(specs, found, strict=True)]
                break
            except InfrastructureError as error:
                bench.reporter.note(f"infrastructure error, attempt {attempt} of {ATTEMPTS}: {error}")
                # What stands in for a directory that is away is not it: nothing is tried there.
                if attempt == ATTEMPTS or places != list(map(identity, directories)):
                    raise
            except (OSError, UserError) as error:
                # A file that is missing there says nothing of the input.
                if places == list(map(identity, directories)):
                    raise
                raise InfrastructureError(f"a run's directory went away: {error}") from None
        return results


def _judged(spec: RunSpec, bench: Bench, baseline: Baseline | None) -> Result:
    directory = spec.directory(bench.out)
    result = judge(RunFiles(directory, spec), baseline)
    write_result(directory, result)
    return result


def _execute(specs: Sequence[RunSpec], bench: Bench) -> list[Baseline | None]:
    """All phases that write files; gives the baselines to judge by (None: the run is the baseline)."""
    device, server = Device(bench, shared=specs[0].share_device), LiveServer(bench)
    runs = [
        stages.RunContext(spec, bench, agents.get(spec.agent), sandboxes.get(spec.sandbox), device, server)
        for spec in specs
    ]
    try:
        # Baselines hold the device themselves, so all of them come before the first session.
        begun = [_begun(run) for run in runs]
        frozen = [
            stages.freeze_submission(run, stages.solve(run, *given)) for run, given in zip(runs, begun, strict=True)
        ]
        measured = {}
        # Equal submissions follow each other, to share a launch.
        for i in sorted(range(len(runs)), key=lambda i: sha256_json(frozen[i])):
            measured[i] = stages.measure(runs[i], begun[i][0], frozen[i])
            stages.quality(runs[i], begun[i][0], frozen[i], measured[i])
        # The server's end is evidence, and reading the texts needs its memory.
        server.stop()
        for i, run in enumerate(runs):
            listen(run, begun[i][0].eval, measured[i])
        return [baseline for _, baseline in begun]
    except InfrastructureError as error:
        for run in runs:
            with suppress(OSError):  # the directory may be what is away
                run.events.append("infrastructure_error", error=str(error))
        raise
    finally:
        server.stop()
        device.release()


def _begun(run: stages.RunContext) -> tuple[stages.Prepared, Baseline | None]:
    """The request sets, and the finished baseline (None: the run is the baseline)."""
    ready = getattr(run.agent, "ready", None)
    if ready and not (run.directory / "solve" / "session.json").exists():
        ready()
    prepared = stages.prepare(run)
    if run.spec.is_canonical_baseline:
        return prepared, None
    key = run.bench.comparability(run.spec, prepared.eval.sha256, prepared.eval_questions.sha256)
    return prepared, ensure_baseline(run.spec, run.bench, key)


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
    """A baseline that did not pass, and would not by today's checks, is measured again, since nothing can be scored
    without it."""
    path = directory / baselines.RESULT_FILE
    try:
        passed = json.loads(path.read_bytes())["outcome"] == Outcome.PASSED
        passed = passed or rejudge(directory, None).outcome is Outcome.PASSED
    except (OSError, ValueError, LookupError, TypeError, UserError):
        passed = not path.exists()
    if not passed:
        for phase in ("measure", "quality"):
            remove_tree(directory / phase)
        path.unlink(missing_ok=True)


def rejudge(directory: Path, tau: float | None) -> Result:
    """The result of a finished run directory, judged again from its files, at another `tau` if given.

    Raises UserError when the directory is not a finished run or its baseline is gone."""
    try:
        spec = RunSpec.model_validate_json((directory / "spec.json").read_bytes())
    except (OSError, ValidationError) as error:
        raise UserError(f"{directory}: no readable spec.json ({unreadable(error, RunSpec)})") from None
    files = RunFiles(directory, spec)
    if spec.is_canonical_baseline:
        return judge(files, None, tau)
    base = baselines.spec_of(spec, "").directory(files.campaign)
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
            f"{path}: not a spec of this version ({unreadable(error, RunSpec)}); use another --out"
        ) from None
    if different := found.differences(spec):
        raise UserError(
            f"{path}: belongs to another run (different: {', '.join(different)}); use --repeat or another --out"
        )
