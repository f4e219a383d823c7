"""Models for tests: the real one of the laptop suite, and one small enough to build in a second."""

from inferencebench.suites.load import load
from inferencebench.suites.model import Model, ModelSource

SMOLLM2 = load("laptop").model

TINY = Model(
    id="test/tiny-random",
    source=ModelSource(kind="random", seed=7),
    dtype="float32",
    layers=4,
    hidden=64,
    heads=4,
    kv_heads=2,
    intermediate=96,
    vocab=1000,
    context_tokens=512,
    body_params=1,
    head_params=64_000,
)
