"""transformers with its own continuous batching: the second, less naive PyTorch row.

In: a checkpoint directory. Out: a server. `batching` feeds transformers' continuous-batching loop; HTTP, templates and
detokenization are the reference server's.
"""

from inferencebench.engines.contract import Fatal, Startup
from inferencebench.engines.packaged import PackagedEngine

ENGINE = PackagedEngine(
    name="transformers",
    title="transformers with continuous batching at its defaults.",
    module="inferencebench.engines.transformers",
    distributions=("transformers", "torch", "safetensors", "accelerate"),
    extra="torch",
    startup=Startup(
        ready_s=300.0,
        quiet_s=300.0,  # it prints nothing until it is ready
        fatal=(
            Fatal(r"OutOfMemoryError|CUDA out of memory", "out of GPU memory"),
            Fatal(r"__main__\.py: error: |^error: ", "an option is refused"),
        ),
    ),
)
