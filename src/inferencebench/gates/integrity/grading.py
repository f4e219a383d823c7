"""From single offences to a verdict, the same way in every check that looks at requests one by one."""

from inferencebench.gates.integrity.model import CheckResult, Verdict

FAIL_SHARE = 0.05
RULE = f"fail if all, or more than {FAIL_SHARE:.0%} and at least 2, of the requests offend; review if any does"


def grade(offences: int, looked_at: int, suspicious: int = 0) -> Verdict:
    """The verdict on `offences` of `looked_at` requests.

    One offence among many may be an accident of the machine (a starved client, a burst of buffered text), so a person
    looks at it; more, or nothing else, is a rule of the server. `suspicious` requests alone only ask for review."""
    if looked_at == 0:
        return Verdict.NOT_APPLICABLE
    if offences == looked_at or (offences >= 2 and offences > FAIL_SHARE * looked_at):
        return Verdict.FAIL
    return Verdict.REVIEW if offences or suspicious else Verdict.PASS


def absent(name: str, threshold: str, reason: str) -> CheckResult:
    """The result of a check that had nothing to look at."""
    return CheckResult(name=name, verdict=Verdict.NOT_APPLICABLE, sample_size=0, threshold=threshold, reason=reason)
