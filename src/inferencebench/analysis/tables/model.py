"""What a table is: columns, rows of values, and behind every value the runs it comes from."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pydantic import field_validator

from inferencebench.analysis.leaderboard import Regression
from inferencebench.analysis.runs import Run, Runs
from inferencebench.errors import UserError
from inferencebench.suites.model import Record

GPU_USD_PER_H = 1.99
"""Price of a GPU hour in the paper's Table 12."""


class Value(Record):
    """One cell. A number has its error where there is one; None is a hole: nothing was scored."""

    value: float | int | str | None
    sem: float | None = None
    """Standard error."""
    low: float | None = None
    """95 % interval."""
    high: float | None = None
    runs: tuple[str, ...] = ()
    """Ids (run directories under their campaign) of the runs behind it."""


class Column(Record):
    """One column; `unit` is part of the header, `digits` are those after the point."""

    key: str
    title: str
    unit: str = ""
    digits: int = 2


class Row(Record):
    """Values by column key; a key that is missing is a hole."""

    values: dict[str, Value]


class Table(Record):
    """A finished table."""

    name: str
    title: str
    source: str
    """What it reproduces."""
    definition: str
    """How its numbers are worked out."""
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    """What a reader must know of these runs."""


class Options(Record):
    """What a caller may choose."""

    regression: Regression = "floor"
    suite: str | None = None
    seed_pairs: tuple[str, ...] = ()
    """Only these, `dev-eval`; none: all."""
    condition: str = "default"
    """Of tables that show one condition; `all` for every one."""
    gpu_usd_per_h: float | None = None
    """Of every machine; None: `GPU_USD_PER_H` for a GPU's hour, and no price for a CPU's."""

    @field_validator("gpu_usd_per_h")
    @classmethod
    def _is_a_price(cls, price: float | None) -> float | None:
        """Raises UserError for a price that no sum can be made of: it comes as it was typed."""
        if price is not None and not 0 <= price < math.inf:
            raise UserError(f"--gpu-usd-per-h {price}: not a number of dollars")
        return price

    def asks_for(self, run: Run) -> bool:
        """Whether a run is of the suite and the seed pairs."""
        return self.suite in (None, run.result.suite) and (not self.seed_pairs or run.pair in self.seed_pairs)


class Made(NamedTuple):
    """What a family gives: the table less its head."""

    columns: Sequence[Column]
    rows: Sequence[Row]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Family:
    """One kind of table. `make` may raise UserError."""

    name: str
    title: str
    source: str
    make: Callable[[Runs, Options], Made]
    """Its docstring is the table's definition."""

    def table(self, runs: Runs, options: Options) -> Table:
        """The table of these runs; of the suite and the seed pairs that the options name."""
        kept = [[run for run in some if options.asks_for(run)] for some in (runs.runs, runs.repeats)]
        runs = Runs(kept[0], kept[1], runs.skipped)
        made = self.make(runs, options)
        definition = " ".join((self.make.__doc__ or "").split())
        return Table(
            name=self.name,
            title=self.title,
            source=self.source,
            definition=definition,
            columns=tuple(made.columns),
            rows=tuple(made.rows),
            notes=tuple(made.notes),
        )
