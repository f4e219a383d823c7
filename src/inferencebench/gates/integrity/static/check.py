"""The static rules as a check of the gate."""

from inferencebench.gates.integrity.grading import absent
from inferencebench.gates.integrity.model import CheckResult, Evidence, Verdict


class StaticRules:
    """Files that look like a cheat are looked at by a person."""

    name = "static-rules"
    required = False
    threshold = "no rule finds anything in the submission's files; review otherwise, never fail"

    def run(self, evidence: Evidence) -> CheckResult:
        """Count the findings and quote the first."""
        if evidence.findings is None:
            return absent(self.name, self.threshold, "the submission's files are not there")
        found = evidence.findings
        rules = sorted({f.rule for f in found})
        reason = "nothing found"
        if found:
            first = found[0]
            reason = f"{len(found)} findings ({', '.join(rules)}); {first.path}:{first.line}: {first.quote}"
        return CheckResult(
            name=self.name,
            verdict=Verdict.REVIEW if found else Verdict.PASS,
            numbers={"findings": float(len(found)), "rules": float(len(rules))},
            sample_size=len(found),
            threshold=self.threshold,
            reason=reason,
        )
