"""`inferencebench audit`: the evidence of a run, decisions on it, the queue of open ones, the zoo, and human audits."""

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from inferencebench.cli.common import JsonOption, notes, print_json
from inferencebench.cli.modes import mode
from inferencebench.cli.run import ModelOption, SandboxOption
from inferencebench.errors import UserError

if TYPE_CHECKING:
    from inferencebench.run.record import Result

ZOO_OUT = Path("zoo")
MODES = ("--zoo", "--calibrate", "--overhead", "--judge", "--queue", "--sample", "--labels", "--decide")
"""Without any the evidence of a run is shown."""
OWN_RUNS = ("--zoo", "--calibrate")
GOES_WITH = {
    "--reason": ("--decide",),
    "--by": ("--decide",),
    "--only": ("--zoo",),
    "--reduced": ("--zoo",),
    "--out": OWN_RUNS,
    "--sandbox": OWN_RUNS,
    "--model-source": OWN_RUNS,
    "--blind": ("--sample",),
    "--seed": ("--sample",),
    "--sheet": ("--sample", "--labels"),
}
"""Option → the modes that it says something about."""


def audit(
    context: typer.Context,
    targets: Annotated[
        list[Path] | None,
        typer.Argument(help="A run directory; campaigns for --queue, --sample, --labels and --judge."),
    ] = None,
    decide: Annotated[
        Literal["pass", "fail"] | None, typer.Option("--decide", help="Record a decision on a run's evidence.")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the decision.")] = "",
    by: Annotated[str | None, typer.Option("--by", help="Who decides; default: this user.")] = None,
    queue: Annotated[bool, typer.Option("--queue", help="List the runs that wait for a decision.")] = False,
    zoo: Annotated[str | None, typer.Option("--zoo", help="Run every cheat and control on this suite.")] = None,
    calibrate: Annotated[
        str | None,
        typer.Option("--calibrate", help="Derive the margins' thresholds from the controls and impostors of the zoo."),
    ] = None,
    overhead: Annotated[
        str | None, typer.Option("--overhead", help="What the gate costs: on a suite, and in the runs named.")
    ] = None,
    judge: Annotated[bool, typer.Option("--judge", help="Ask the judges whose keys are set.")] = False,
    only: Annotated[list[str] | None, typer.Option("--only", help="A fixture of the zoo; may be repeated.")] = None,
    reduced: Annotated[bool, typer.Option("--reduced", help="Few fixtures of the zoo, at the smallest sizes.")] = False,
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the zoo's runs go.", metavar="DIR")] = ZOO_OUT,
    sandbox: SandboxOption = "auto",
    model_source: ModelOption = None,
    sample: Annotated[int | None, typer.Option("--sample", help="Draw a human audit of so many runs.")] = None,
    blind: Annotated[bool, typer.Option("--blind", help="The sheet hides verdict, score and agent.")] = False,
    sheet: Annotated[
        Path, typer.Option("--sheet", help="The sheet to write, or with --labels to read.", metavar="FILE")
    ] = Path("audit.jsonl"),
    seed: Annotated[int, typer.Option("--seed", help="Seed of the sample.")] = 0,
    labels: Annotated[bool, typer.Option("--labels", help="Rates and intervals from a filled-in sheet.")] = False,
    json: JsonOption = False,
) -> None:
    """Show what the integrity checks found in a run, decide on it, or test the gate itself on known cheats.

    Exit code of --zoo: 0 when every fixture is judged as expected, else 1 and a line for each that is not.

    Example: inferencebench audit --zoo laptop --json

    Example: inferencebench audit --queue runs

    Example: inferencebench audit RUN --decide pass --reason 'an honest cache, read line by line'

    Example: inferencebench audit --sample 20 --blind runs; when the sheet is filled in, audit --labels runs
    """
    folders = targets or []
    chosen = mode(context, MODES, GOES_WITH)
    if chosen in OWN_RUNS and folders:
        raise UserError(f"{chosen}: makes its own runs, in --out; leave out {' '.join(map(str, folders))}")
    if zoo is not None:
        from inferencebench.cli import audit_zoo

        audit_zoo.zoo(zoo, only or [], out, sandbox, model_source, reduced=reduced, json=json)
    elif calibrate is not None:
        from inferencebench.cli import audit_zoo

        audit_zoo.calibrate(calibrate, out, sandbox, model_source, json=json)
    elif overhead is not None:
        from inferencebench.cli.audit_overhead import overhead as show_overhead

        show_overhead(overhead, folders, json=json)
    elif judge:
        from inferencebench.cli.audit_judges import judge_all

        judge_all(_some(folders, "--judge"), json=json)
    elif queue:
        _queue(_some(folders, "--queue"), json=json)
    elif sample is not None:
        from inferencebench.cli import audit_human

        audit_human.sample(_some(folders, "--sample"), sample, seed, sheet, blind=blind, json=json)
    elif labels:
        from inferencebench.cli import audit_human

        audit_human.labels(_some(folders, "--labels"), sheet, json=json)
    elif decide is not None:
        _decide(_one(folders), decide, reason, by, json=json)
    else:
        _show(_one(folders), json=json)


def _one(folders: list[Path]) -> Path:
    if len(folders) != 1:
        raise UserError("audit: name one run directory, or --zoo SUITE, --queue DIR or --sample N DIR")
    return folders[0]


def _some(folders: list[Path], option: str) -> list[Path]:
    if not folders:
        raise UserError(f"{option}: name at least one campaign directory")
    return folders


def _queue(folders: list[Path], *, json: bool) -> None:
    from inferencebench.analysis.collect import collect, none_finished
    from inferencebench.cli import audit_show
    from inferencebench.run.record import Outcome

    found = collect(folders)
    notes(found.skipped)
    if not found.results:
        raise none_finished(folders)
    waiting = [(path, result) for path, result in found.results if result.outcome is Outcome.REVIEW_PENDING]
    if json:
        print_json(
            [
                {
                    "directory": str(path),
                    "agent": result.agent,
                    "scenario": result.scenario,
                    "raw_speedup": result.raw_speedup,
                    "reason": result.reason,
                }
                for path, result in waiting
            ]
        )
    else:
        audit_show.show_queue(waiting)


def _show(folder: Path, *, json: bool) -> None:
    from inferencebench.cli import audit_show
    from inferencebench.run import decisions

    result = _stored(folder)
    history = decisions.read(folder)
    if json:
        print_json(
            {
                "outcome": result.outcome,
                "reason": result.reason,
                "integrity": result.integrity.model_dump(mode="json") if result.integrity else None,
                "decision": result.decision.model_dump(mode="json") if result.decision else None,
                "decisions": [decision.model_dump(mode="json") for decision in history],
            }
        )
    else:
        audit_show.show_evidence(result, history)


def _decide(folder: Path, verdict: Literal["pass", "fail"], reason: str, by: str | None, *, json: bool) -> None:
    """Judge the run's files as they are now, record the decision on that, and store the result that follows."""
    from inferencebench.cli.show import show_result
    from inferencebench.gates.integrity.model import Verdict
    from inferencebench.run import decisions
    from inferencebench.run.judge import write_result
    from inferencebench.run.pipeline import rejudge

    _stored(folder)
    now = rejudge(folder, None)
    if now.integrity is None:
        raise UserError(f"{folder}: {now.outcome}: there is no integrity evidence to decide on")
    if verdict == "pass" and now.integrity.verdict is Verdict.FAIL:
        raise UserError(
            f"{folder}: a check failed ({now.reason}); a decision settles reviews and clears no failed check"
        )
    evidence = decisions.evidence_sha256(now.integrity, now.provenance.submission_sha256)
    decisions.record(folder, by if by is not None else _user(), verdict, reason, evidence)
    result = rejudge(folder, None)
    write_result(folder, result)
    if json:
        print_json(result)
    else:
        show_result(result, folder)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def _stored(folder: Path) -> "Result":
    from inferencebench.run.record import Result
    from inferencebench.suites.unreadable import unreadable

    path = folder / "result.json"
    try:
        return Result.model_validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        what = unreadable(error, Result)
        raise UserError(f"{path}: no readable result ({what}); name the directory of a finished run") from None
