"""The reference engine: transformers `generate` behind a plain HTTP server. Its row is 1.0 by definition."""

from inferencebench.engines.contract import Fatal, Startup
from inferencebench.engines.packaged import PackagedEngine

ENGINE = PackagedEngine(
    name="pytorch",
    title="The PyTorch reference: transformers generate, one thread per request, no batching.",
    module="inferencebench.engines.pytorch",
    distributions=("torch", "transformers", "safetensors", "accelerate"),
    extra="torch",
    startup=Startup(
        ready_s=300.0,
        quiet_s=300.0,  # it prints nothing until it is ready
        fatal=(Fatal(r"OutOfMemoryError|CUDA out of memory", "out of GPU memory"),),
    ),
)
