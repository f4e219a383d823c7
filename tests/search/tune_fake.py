"""`tune` with the fake engine, as a program of its own so that it can be killed: FOLDER BUDGET [--slo …]."""

import sys
from pathlib import Path

from inferencebench.engines import registry
from inferencebench.load.dataset import Load
from inferencebench.search import policy, space, tune
from inferencebench.search.slo import parse
from tests.search.fake_engine import SPACE, FakeEngine


def request(folder: Path, budget_s: float, *slos: str) -> tune.Request:
    """A request for the fake engine on the traffic in `folder`."""
    registry._OURS["fake"] = FakeEngine()
    found = space.parse(SPACE, "fake")
    if found not in (known := space.shipped()):
        space.shipped = lambda: (*known, found)  # type: ignore[assignment]
    # A short load: what is tested is the protocol, not the clock.
    policy.LEAST_MEASURE_S = 1.0
    return tune.Request(
        engines=("fake",), model=folder / "model", requests=folder / "chats.jsonl", objective="tpot",
        slos=tuple(parse(text) for text in slos), budget_s=budget_s, load=Load("closed", None, 2, None, 10.0),
        sampler="random", out=folder / "out",
    )  # fmt: skip


if __name__ == "__main__":
    result, _ = tune.tune(request(Path(sys.argv[1]), float(sys.argv[2]), *sys.argv[3:]), print)
    print(result.model_dump_json())
