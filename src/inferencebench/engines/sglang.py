"""SGLang: `sglang.launch_server` at its defaults."""

from inferencebench.engines.contract import Fatal, Startup
from inferencebench.engines.packaged import PackagedEngine

FATAL = (
    Fatal(r"OutOfMemoryError|CUDA out of memory", "out of GPU memory"),
    Fatal(r"Not enough memory\. Please try", "no memory left for the KV cache"),
    Fatal(r"Capture cuda graph failed", "CUDA graphs could not be captured"),
    Fatal(r"CUDA error|CUBLAS_STATUS_", "CUDA error"),
    Fatal(r"Scheduler hit an exception|Received sigquit from a child process", "the scheduler failed"),
    Fatal(r"launch_server\.py: error: ", "an option is refused"),
)

ENGINE = PackagedEngine(
    name="sglang",
    title="SGLang's server at its defaults.",
    module="sglang.launch_server",
    distributions=("sglang",),
    extra="",
    remedy="pip install sglang",
    image="lmsysorg/sglang:v{version}",
    command=(),
    location={
        "--model-path": "$MODEL_PATH",
        "--served-model-name": "$MODEL_ID",
        "--host": "$HOST",
        "--port": "$PORT",
    },
    env={"HF_HUB_OFFLINE": "1"},
    startup=Startup(ready_s=420.0, quiet_s=120.0, fatal=FATAL),
)
