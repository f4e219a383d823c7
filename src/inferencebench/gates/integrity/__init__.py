"""Integrity checks: the evidence of one measurement in; pass, review or fail with its numbers out.

`model` holds the types, `registry` the list of checks and `run_checks`, `rooflines` the physics; every other module is
one family of checks. A third party adds a check by the entry point group `inferencebench.checks`.
"""

from inferencebench.gates.integrity.model import CheckResult, Evidence, IntegrityResult, Verdict
from inferencebench.gates.integrity.registry import checks, run_checks

__all__ = ["CheckResult", "Evidence", "IntegrityResult", "Verdict", "checks", "run_checks"]
