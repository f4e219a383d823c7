"""The list of checks, and running them all."""

from importlib.metadata import entry_points

from inferencebench.errors import UserError
from inferencebench.gates.integrity.content import Margins, OpeningMargins, ProbeShift, RepeatUnique, WrongAnswers
from inferencebench.gates.integrity.egress import Egress
from inferencebench.gates.integrity.files import OpenedFiles
from inferencebench.gates.integrity.model import Check, CheckResult, Evidence, IntegrityResult, Verdict
from inferencebench.gates.integrity.physical import LatencyFloor, RequestRateCeiling, TpotFloor, TtftFloor
from inferencebench.gates.integrity.processes import Survivors
from inferencebench.gates.integrity.recall import Canary, FactEdit
from inferencebench.gates.integrity.static.check import StaticRules
from inferencebench.gates.integrity.static.engine import ForcedEngine
from inferencebench.gates.integrity.streams import FirstGap, FirstToken, HoldThenFlush, TtftSlope
from inferencebench.gates.integrity.texts import CannedText, SamplesComplete
from inferencebench.gates.integrity.tokens import ForcedLength, PromptAudit, TokenAudit
from inferencebench.gates.judge.check import Judges

GROUP = "inferencebench.checks"

BUILTIN: tuple[Check, ...] = (
    TtftFloor(),
    TpotFloor(),
    LatencyFloor(),
    RequestRateCeiling(),
    TokenAudit(),
    ForcedLength(),
    PromptAudit(),
    SamplesComplete(),
    CannedText(),
    Survivors(),
    TtftSlope(),
    FirstGap(),
    FirstToken(),
    HoldThenFlush(),
    Margins(),
    OpeningMargins(),
    WrongAnswers(),
    ProbeShift(),
    RepeatUnique(),
    Canary(),
    FactEdit(),
    StaticRules(),
    ForcedEngine(),
    Egress(),
    OpenedFiles(),
    Judges(),
)


def checks() -> tuple[Check, ...]:
    """The built-in checks and those of the entry points, each of which names a class without arguments.

    Raises UserError when two checks have one name: a plug-in adds checks and replaces none."""
    found = list(BUILTIN)
    for entry in sorted(entry_points(group=GROUP), key=lambda e: e.name):
        check: Check = entry.load()()
        if check.name in {c.name for c in found}:
            raise UserError(
                f"entry point {GROUP}:{entry.name}: a check named {check.name!r} exists; choose another name"
            )
        found.append(check)
    return tuple(found)


def run_checks(evidence: Evidence, chosen: tuple[Check, ...] | None = None) -> IntegrityResult:
    """Run all checks (or the chosen ones) on the evidence and add up their verdicts."""
    selected = checks() if chosen is None else chosen
    results = tuple(_run(check, evidence) for check in selected)
    return IntegrityResult(checks=results, verdict=overall(selected, results))


def overall(selected: tuple[Check, ...], results: tuple[CheckResult, ...]) -> Verdict:
    """Fail if any check fails; review if any asks for it, or a required one found nothing to look at; else pass."""
    verdicts = {r.verdict for r in results}
    if Verdict.FAIL in verdicts:
        return Verdict.FAIL
    unseen = any(c.required and r.verdict is Verdict.NOT_APPLICABLE for c, r in zip(selected, results, strict=True))
    return Verdict.REVIEW if unseen or Verdict.REVIEW in verdicts else Verdict.PASS


def missing_required(result: IntegrityResult) -> tuple[str, ...]:
    """The required checks that found nothing to look at."""
    required = {check.name for check in checks() if check.required}
    return tuple(c.name for c in result.checks if c.verdict is Verdict.NOT_APPLICABLE and c.name in required)


def _run(check: Check, evidence: Evidence) -> CheckResult:
    try:
        return check.run(evidence)
    except Exception as error:
        # What a hostile server sent may break any check, also a third party's: that must neither clear nor stop a run.
        return CheckResult(
            name=check.name,
            verdict=Verdict.REVIEW,
            sample_size=0,
            threshold="the check runs to its end",
            reason=f"the check crashed: {type(error).__name__}: {error}",
        )
