"""What outlives a server could answer for the next one."""

from inferencebench.gates.integrity.grading import absent
from inferencebench.gates.integrity.model import CheckResult, Evidence, Verdict


class Survivors:
    """No process of a submission may be left when its sandbox has ended."""

    name = "surviving-processes"
    required = True
    threshold = "no process alive after the end of its sandbox"

    def run(self, evidence: Evidence) -> CheckResult:
        """Fail if any process id is left."""
        left = evidence.survivors
        if left is None:
            return absent(self.name, self.threshold, "nobody looked for processes")
        shown = ", ".join(map(str, left[:5]))
        return CheckResult(
            name=self.name,
            verdict=Verdict.FAIL if left else Verdict.PASS,
            numbers={"survivors": float(len(left))},
            sample_size=len(left),
            threshold=self.threshold,
            reason=f"{len(left)} processes outlived the sandbox: {shown}" if left else "none was left",
        )
