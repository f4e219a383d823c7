"""llama.cpp's own server on a checkpoint that is converted to GGUF, through the prebuilt xllamacpp wheel.

In: a checkpoint directory. Out: a server. `convert` writes the GGUF (`tensors`, `vocabulary` read the checkpoint),
`options` maps flags to llama.cpp's parameters.
"""

from inferencebench.engines.contract import Fatal, Startup
from inferencebench.engines.packaged import PackagedEngine

ENGINE = PackagedEngine(
    name="llamacpp",
    title="llama.cpp's server at its defaults, on the checkpoint's weights in float16.",
    module="inferencebench.engines.llamacpp",
    distributions=("xllamacpp", "gguf"),
    extra="llamacpp",
    # The wheel on PyPI is a CPU build.
    startup=Startup(
        ready_s=180.0,
        quiet_s=180.0,  # it converts the checkpoint at every launch without a word
        fatal=(
            Fatal(r"GGML_ASSERT|GGML_ABORT", "an assertion of ggml failed"),
            Fatal(r"failed to (allocate|create context|initialize the context)|unable to allocate", "out of memory"),
            Fatal(r"(error|failed) (while )?loading model|failed to load model", "the model does not load"),
            Fatal(r"__main__\.py.*: error: |^error: ", "an option is refused"),
        ),
    ),
)
