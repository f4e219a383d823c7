"""The forced engine: under a condition that names one, the submission starts that one."""

from inferencebench.gates.integrity.grading import absent
from inferencebench.gates.integrity.model import CheckResult, Evidence, Verdict


class ForcedEngine:
    """Read from the launcher's text, which can lie: no proof, so a person looks at what is another engine's."""

    name = "forced-engine"
    required = False
    threshold = "the launcher, or a script it calls, starts the engine of the run's condition; review otherwise"

    def run(self, evidence: Evidence) -> CheckResult:
        """Compare the engine that was recognised with the condition's."""
        if evidence.forced_engine is None:
            return absent(self.name, self.threshold, "the condition leaves the engine open")
        if evidence.findings is None:
            return absent(self.name, self.threshold, "the submission's files are not there")
        same = evidence.engine == evidence.forced_engine
        return CheckResult(
            name=self.name,
            verdict=Verdict.PASS if same else Verdict.REVIEW,
            sample_size=1,
            threshold=self.threshold,
            reason=f"the launcher starts {evidence.engine or 'no known engine'}, "
            f"the condition says {evidence.forced_engine}",
        )
