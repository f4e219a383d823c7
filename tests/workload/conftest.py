"""What the workload tests share: the real tokenizer of the laptop suite, and scenarios of any size."""

from collections.abc import Callable
from pathlib import Path

import pytest

from inferencebench import paths
from inferencebench.errors import MissingError
from inferencebench.models.store import ensure_checkpoint
from inferencebench.suites.load import load
from inferencebench.suites.model import Corpus, Profile, Scenario, Suite
from inferencebench.workload.corpus import CorpusText, load_corpus
from inferencebench.workload.tokens import ChatTokenizer

DATA = Path(__file__).parents[3] / "shared" / "data"
"""Real MMLU-Pro and LongBench v2 rows, which lie beside a checkout and never in it."""

SALT = bytes(range(32))


@pytest.fixture(scope="session")
def suite() -> Suite:
    return load("laptop")


@pytest.fixture(scope="session")
def tokenizer(suite: Suite) -> ChatTokenizer:
    try:
        return ChatTokenizer.load(ensure_checkpoint(suite.model, paths.cache_dir()).path)
    except MissingError as error:
        pytest.skip(f"the laptop suite's checkpoint cannot be had here: {error}")


@pytest.fixture(scope="session")
def offline() -> CorpusText:
    return load_corpus(Corpus(name="offline"))


ScenarioMaker = Callable[..., Scenario]


@pytest.fixture(scope="session")
def scenario_of(suite: Suite) -> ScenarioMaker:
    """A scenario of the given lengths with a burst, a Poisson and a constant profile of `requests` each."""

    def make(input_tokens: int, output_tokens: int = 32, requests: int = 3, warmups: int = 1) -> Scenario:
        profiles = (
            Profile(name="burst", arrival="burst", requests=requests, concurrency=2),
            Profile(name="poisson", arrival="poisson", requests=requests, concurrency=2, rate_per_s=8),
            Profile(name="constant", arrival="constant", requests=requests, concurrency=2, rate_per_s=4),
        )
        changes = {
            "input_tokens": input_tokens,
            "output_tokens": output_tokens,
            "profiles": profiles,
            "warmup_requests": warmups,
        }
        return suite.scenarios[0].model_copy(update=changes)

    return make


def local_data(name: str) -> Path:
    """A test data file, or a visible skip."""
    path = DATA / name
    if not path.is_file():
        pytest.skip(f"{name} is not beside this checkout")
    return path
