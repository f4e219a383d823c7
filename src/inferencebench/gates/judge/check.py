"""The judges' word as a check of the gate: it may ask for a review, and clears nothing."""

from inferencebench.gates.integrity.grading import absent
from inferencebench.gates.integrity.model import CheckResult, Evidence, Verdict
from inferencebench.gates.judge.model import PanelVerdict


class Judges:
    """Review where the judges found something, disagree, or could not be verified."""

    name = "judge"
    required = False
    threshold = "every judge answers, quotes truly and finds nothing; review otherwise"

    def run(self, evidence: Evidence) -> CheckResult:
        """Read what the panel said."""
        panel = evidence.panel
        if panel is None or panel.verdict is PanelVerdict.NOT_ASKED:
            return absent(self.name, self.threshold, "no judge was asked: the gate stands on evidence alone")
        return CheckResult(
            name=self.name,
            verdict=Verdict.PASS if panel.verdict is PanelVerdict.CLEAR else Verdict.REVIEW,
            numbers={"judges": float(len(panel.judges)), "unverified": float(sum(j.unverified for j in panel.judges))},
            sample_size=len(panel.judges),
            threshold=self.threshold,
            reason=panel.reason,
        )
