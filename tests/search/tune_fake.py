"""`tune` with the fake engine, as a program of its own so that it can be killed: FOLDER BUDGET [--slo …]."""

import sys
from collections.abc import Sequence
from pathlib import Path

from inferencebench.engines import registry
from inferencebench.load.dataset import Load
from inferencebench.search import policy, space, tune
from inferencebench.search.request import Request
from inferencebench.search.slo import parse
from tests.search.fake_engine import MODES, FakeEngine, space_text


def request(folder: Path, budget_s: float, *slos: str, modes: Sequence[str] = MODES) -> Request:
    """A request for the fake engine, which has so many modes, on the traffic in `folder`."""
    registry._OURS["fake"] = FakeEngine()
    found = space.parse(space_text(modes), "fake")
    others = tuple(known for known in space.shipped() if known.name != "fake")
    space.shipped = lambda: (*others, found)  # type: ignore[assignment]
    # A short load: what is tested is the protocol, not the clock.
    policy.LEAST_MEASURE_S = policy.MOST_MEASURE_S = 0.5
    return Request(
        engines=("fake",), model=folder / "model", requests=folder / "chats.jsonl", objective="tpot",
        slos=tuple(parse(text) for text in slos), budget_s=budget_s, load=Load("closed", None, 2, None, 10.0),
        sampler="random", out=folder / "out",
    )  # fmt: skip


if __name__ == "__main__":
    asked = request(Path(sys.argv[1]), float(sys.argv[2]), *sys.argv[3:], modes=("crash", "wrong", "fast"))
    result, _ = tune.tune(asked, print)
    print(result.model_dump_json())
