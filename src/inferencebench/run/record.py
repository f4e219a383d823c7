"""The record of a run: `result.json` and what the phases hand on. Units are in the names."""

from enum import StrEnum

from inferencebench.agents.providers import CredentialKind
from inferencebench.agents.usage import ModelUsage
from inferencebench.doctor.hardware import HardwareFingerprint, Peaks
from inferencebench.doctor.model import Finding
from inferencebench.gates.integrity.model import IntegrityResult
from inferencebench.gates.quality import QualityResult
from inferencebench.load.model import Measurement
from inferencebench.run.decisions import RecordedDecision
from inferencebench.suites.model import Metric, Record, SeedPair


class Outcome(StrEnum):
    """How a run ended; exclusive."""

    PASSED = "passed"
    REVIEW_PENDING = "review_pending"
    QUALITY_FAILED = "quality_failed"
    QUALITY_INCOMPLETE = "quality_incomplete"
    INTEGRITY_FLAGGED = "integrity_flagged"
    SERVER_FAILED = "server_failed"
    INFRASTRUCTURE_ERROR = "infrastructure_error"

    @property
    def scored(self) -> bool:
        """Whether the run enters means: a review is pending, an infrastructure error is repeated."""
        return self not in (Outcome.REVIEW_PENDING, Outcome.INFRASTRUCTURE_ERROR)


class FrozenFile(Record):
    """One file of a frozen submission."""

    path: str
    sha256: str
    bytes: int
    executable: bool


class Manifest(Record):
    """A frozen submission: its files, and what was left out with the reason."""

    files: tuple[FrozenFile, ...]
    left_out: tuple[str, ...]
    sha256: str
    """Hash over paths, contents and executable bits."""
    bytes: int


class ServerFailure(Record):
    """Why there is no measurement: the submission's server did not come up, died, or answered too little."""

    reason: str
    log_tail: str = ""
    exit_code: int | None = None


class Launch(Record):
    """One relaunch of the submission for measuring."""

    ready_s: float
    limits: dict[str, str]
    """Which sandbox limit was enforced by what."""
    after: tuple[str, ...] = ()
    """Scenarios of the same submission that were measured before on this launch."""
    kept_home: bool = False
    """HOME was kept from earlier launches of the harness's own launchers: compile caches may make `ready_s` short."""


class Machine(Record):
    """Where a measurement was made: enough to re-score it elsewhere."""

    hardware: HardwareFingerprint
    peaks: Peaks | None
    """Calibrated peaks; None where the suite states them."""
    server_cpus: tuple[int, ...]
    client_cpus: tuple[int, ...]
    software: dict[str, str]
    checkpoint_sha256: str
    salt_sha256: str
    sandbox_verified: bool


class Measured(Record):
    """Output of the measure phase."""

    measurement_version: int
    launches: tuple[Launch, ...]
    measurements: tuple[Measurement, ...]
    """One per launch; the metric is their mean."""
    failure: ServerFailure | None = None


class MetricValue(Record):
    """The scenario's primary metric in its native unit, beside the baseline's."""

    name: Metric
    value: float | None
    baseline: float | None
    baseline_ci95: tuple[float, float] | None = None
    """Bootstrap over launches and requests; None where it cannot be derived."""


class Evaluation(Record):
    """One mid-run evaluation by the harness, as recorded by the evaluation service."""

    id: int
    at_s: float
    """Seconds since the start of the session."""
    seconds: float
    quick: bool
    submission_sha256: str
    ok: bool
    error: str | None = None
    metric: Metric
    value: float | None = None
    accuracy: float | None = None
    quality_passed: bool | None = None
    valid: bool | None = None


class Session(Record):
    """Output of the solve phase."""

    agent: str
    ended: str
    """`finished`, `deadline` or `failed`."""
    exit_code: int | None
    seconds: float
    survivors: tuple[int, ...]
    """Host pids that outlived the end of the session; must be empty."""
    evaluations: tuple[Evaluation, ...] = ()


class BestSeen(Record):
    """The best full (not quick) valid evaluation of the run on dev requests: found, not scored."""

    evaluation: int
    value: float
    submission_sha256: str
    is_final: bool
    """Whether the frozen submission is this one."""


class BaselineRef(Record):
    """Which baseline record a speedup refers to."""

    key: str
    sha256: str
    """Hash of the baseline's `measure/measured.json`."""
    directory: str
    """Under the campaign directory."""


class Cost(Record):
    """What the run used."""

    solve_s: float
    measure_s: float
    quality_s: float
    audit_s: float = 0.0
    """Reading the timed texts under the reference model."""
    total_s: float
    api_usd: float | None = None
    """The agent's model calls at list prices, US dollars; None where none was made, or a price is not known."""
    models: tuple[ModelUsage, ...] = ()
    """The same per model, with tokens by kind."""
    credential: CredentialKind | None = None
    """How the calls were paid for: those of a subscription are not billed one by one, whatever `api_usd` says."""
    prices: str | None = None
    """Day and source of the prices."""


class Provenance(Record):
    """Where the numbers come from."""

    inferencebench: str
    measurement_version: int
    suite_sha256: str
    requests_sha256: str
    questions_sha256: str
    salt_sha256: str
    submission_sha256: str
    checkpoint_sha256: str
    hardware_sha256: str
    server_cpus: tuple[int, ...]
    client_cpus: tuple[int, ...]
    sandbox: str
    sandbox_verified: bool
    share_device: bool
    software: dict[str, str]


class Result(Record):
    """`result.json`: the whole run in one record."""

    schema_version: int
    suite: str
    scenario: str
    agent: str
    condition: str
    seed_pair: SeedPair
    repeat: int
    outcome: Outcome
    reason: str
    """One line: what decided the outcome."""
    ranked: bool
    """False: shown below the board (unverified sandbox, shared device, unscored outcome)."""
    speedup: float
    """1.0 unless passed and faster than the baseline; 1.0 by definition for the baseline."""
    raw_speedup: float | None
    """Ratio of the metrics whatever the outcome; None without a measurement."""
    raw_speedup_ci95: tuple[float, float] | None
    metric: MetricValue
    measurement: Measured | None
    quality: QualityResult | None
    integrity: IntegrityResult | None
    decision: RecordedDecision | None = None
    """The newest recorded decision on this evidence."""
    best_seen: BestSeen | None
    baseline: BaselineRef | None
    cost: Cost
    provenance: Provenance
    preflight: tuple[Finding, ...] | None = None
    """What was found of the machine before the run began; None: it was started without a preflight."""
