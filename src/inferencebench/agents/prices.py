"""What model calls cost: the list prices of `prices.toml`, and a campaign's own beside them.

A call is priced by itself, since some providers charge more for all tokens of a call with a long prompt.
"""

import re
import tomllib
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from inferencebench.agents.usage import Usage
from inferencebench.errors import UserError
from inferencebench.suites.model import Record

CAMPAIGN_FILE = "prices.toml"
"""In a campaign directory: prices of models that the package does not know, or that cost something else there."""
SNAPSHOT = re.compile(r"[-@](\d{8}|\d{4}-\d{2}-\d{2}|latest)")
"""What may follow a model's name without making it another model."""
Usd = Annotated[float, Field(ge=0)]


class Rates(Record):
    """US dollars per million tokens of each kind."""

    input: Usd
    cached_input: Usd | None = None
    """None: as `input`."""
    cache_write: Usd | None = None
    """None: as `input`."""
    output: Usd

    def usd(self, usage: Usage) -> float:
        """Of one call."""
        cached = self.input if self.cached_input is None else self.cached_input
        written = self.input if self.cache_write is None else self.cache_write
        return 1e-6 * (
            usage.input_tokens * self.input
            + usage.cached_input_tokens * cached
            + usage.cache_write_tokens * written
            + usage.output_tokens * self.output
        )


class LongRates(Rates):
    """Those of a call whose prompt is longer than a limit."""

    above_tokens: Annotated[int, Field(gt=0)]


class ModelPrice(Rates):
    """The rates of one model."""

    long: LongRates | None = None

    def usd(self, usage: Usage) -> float:
        """Of one call."""
        if self.long is not None and usage.prompt_tokens > self.long.above_tokens:
            return self.long.usd(usage)
        return super().usd(usage)


class PriceTable(Record):
    """Prices by the model's name, with the day and the place they were read."""

    as_of: str
    source: str
    pages: dict[str, str] = Field(default_factory=dict)
    """Provider → its page of prices."""
    models: dict[str, ModelPrice]

    def usd(self, model: str, usage: Usage) -> float | None:
        """US dollars of one call; None where the model's price is not known."""
        price = self.models.get(model) or self.models.get(SNAPSHOT.sub("", model))
        return None if price is None else price.usd(usage)


@cache
def listed() -> PriceTable:
    """The package's own table."""
    return _read(files("inferencebench.agents").joinpath(CAMPAIGN_FILE).read_text(), "the package's prices")


def load(campaign: Path) -> PriceTable:
    """The package's table with what `prices.toml` of a campaign directory adds or replaces.

    Raises UserError, naming the file, when that file is not a table of prices."""
    path = campaign / CAMPAIGN_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return listed()
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    own, base = _read(text, str(path)), listed()
    return PriceTable(
        as_of=f"{own.as_of}; else {base.as_of}",
        source=f"{own.source}; else {base.source}",
        pages={**base.pages, **own.pages},
        models={**base.models, **own.models},
    )


def _read(text: str, where: str) -> PriceTable:
    try:
        return PriceTable.model_validate(tomllib.loads(text))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UserError(f"{where}: {place}: {first['msg']}; see the package's agents/prices.toml") from None
    except ValueError as error:
        raise UserError(f"{where}: not valid TOML: {error}") from None
