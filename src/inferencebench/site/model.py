"""What the pages show: one record per run for the overview, one per run page. Units are in the names."""

from pydantic import JsonValue

from inferencebench.agents.trajectory import Step
from inferencebench.analysis.behaviour.conduct import Conduct
from inferencebench.analysis.leaderboard import AgentRow, Cell
from inferencebench.run.record import Evaluation, Result
from inferencebench.suites.model import Record


class Quantiles(Record):
    """One distribution as points of its empirical distribution function."""

    name: str
    """`TTFT`, `TPOT`, `latency`, `ITL`."""
    load: str
    """The profile, and the launch where there are several."""
    n: int
    ms: tuple[float, ...]
    share: tuple[float, ...]
    """Of the values at or below the `ms` at the same place."""


class Moment(Record):
    """One line of a session's short story."""

    at_s: float | None
    kind: str
    """`message`, `tool`, `evaluation` or `end`."""
    text: str


class LaunchRow(Record):
    """One server start of a session."""

    at_s: float | None
    by: str
    """`evaluation`: by the harness; `agent`: by a command of the agent's own."""
    engine: str | None
    settings: dict[str, str]
    """Non-default ones."""
    known: bool
    """Whether its launcher was seen."""
    change: str
    """Against the start before: `first`, `same`, `one setting`, `3 settings`, `engine`, `unknown`."""
    ok: bool | None
    full: bool
    value: float | None
    """The primary metric in its native unit, where the harness measured it."""


class RunRow(Record):
    """One run in the overview."""

    id: str
    board: str
    suite: str
    scenario: str
    agent: str
    kind: str
    condition: str
    seeds: str
    repeat: int
    on_board: bool
    """Whether it enters the board's means: repeat 0, and no duplicate."""
    outcome: str
    reason: str
    ranked: bool
    trajectory: bool
    """Whether the agent left one: of the others, conduct tells what the harness saw only."""
    speedup: float
    raw_speedup: float | None
    raw_ci95: tuple[float, float] | None
    metric: str
    value: float | None
    baseline: float | None
    found_speedup: float | None
    """Best seen on dev requests over the eval baseline's value; None without a full valid evaluation."""
    found_is_final: bool | None
    budget_s: float | None
    evaluations: int | None
    total_s: float
    api_usd: float | None
    conduct: Conduct | None = None
    """How it worked; None until its directory was read."""
    moments: tuple[Moment, ...] = ()
    """Its session in a few lines."""


class ScenarioFacts(Record):
    """What the suite fixes for one scenario."""

    name: str
    title: str
    metric: str
    input_tokens: int
    output_tokens: int
    requests: int
    load: str
    temperature: float


class BudgetPoint(Record):
    """The aggregate of one agent under one budget; other settings of the condition are in `series`."""

    series: str
    budget_s: float
    aggregate: float
    aggregate_sem: float | None
    scenarios: int


class BoardView(Record):
    """One board: runs that may be compared."""

    id: str
    title: str
    suite: str
    model: str
    hardware: str
    salt: str
    """First digits of the hash of the campaign's salt."""
    scenarios: tuple[ScenarioFacts, ...]
    conditions: tuple[str, ...]
    kinds: tuple[str, ...]
    """Of the agents, in the order of `agents`."""
    notes: tuple[str, ...]
    """What must be read with it: rows over other seed pairs, quality that is not judged."""
    floor: tuple[AgentRow, ...]
    raw: tuple[AgentRow, ...]
    cells_floor: tuple[Cell, ...]
    cells_raw: tuple[Cell, ...]
    budgets: tuple[BudgetPoint, ...]


class Unfinished(Record):
    """A run that has no result yet."""

    suite: str
    scenario: str
    agent: str
    condition: str
    seeds: str
    phase: str
    started_at: float | None
    """Epoch seconds of its first event."""
    last_at: float | None
    evaluations: int


class Event(Record):
    """One event of the run's log, seconds after its first."""

    at_s: float
    event: str
    detail: str


class Span(Record):
    """One phase on the run's clock, seconds after the first event; the same phase again after a resume is another."""

    phase: str
    start_s: float
    end_s: float


class Excerpt(Record):
    """The beginning and the end of a text or a list, and how many bytes of the file lie between them."""

    left_out_bytes: int = 0
    head: tuple[Step, ...] = ()
    tail: tuple[Step, ...] = ()
    file_bytes: int = 0


class Text(Record):
    """A text file, or its beginning."""

    name: str
    text: str
    left_out_bytes: int = 0


class Series(Record):
    """One quantity over the measurement."""

    name: str
    device: str
    unit: str
    at_s: tuple[float, ...]
    """Seconds since the measurement of its launch began."""
    values: tuple[float, ...]


class Counted(Record):
    """One of the engine's own metrics that changed while it was measured."""

    name: str
    """With its labels."""
    before: float
    after: float


class RunPage(Record):
    """Everything a run's page shows."""

    row: RunRow
    result: Result
    budget_s: float | None
    session_s: float | None
    evaluations: tuple[Evaluation, ...]
    spans: tuple[Span, ...]
    events: tuple[Event, ...]
    distributions: tuple[Quantiles, ...]
    telemetry: tuple[Series, ...]
    counted: tuple[Counted, ...]
    files: tuple[Text, ...]
    """Text files of the submission."""
    diff: Text | None
    trajectory: Excerpt | None
    launches: tuple[LaunchRow, ...]
    usage: dict[str, JsonValue]
    """Tokens of the steps shown, by kind."""
    notes: tuple[str, ...] = ()
    """What could not be read, one line each."""
