#!/usr/bin/env bash
# A script agent: what an engineer sets by hand for a 7B model on an H100, measured once and left as it is.
#   inferencebench run h100-random-7b A,B,C,D script:examples/hand_tuned_vllm
# 8-bit floats halve the bytes of every decoding step and double the rate of products; keys and values in 8 bits hold
# twice the requests; 16k tokens per step read two long prompts at once.
cat > submission/start_server.sh <<'SH'
#!/bin/sh
export HF_HUB_OFFLINE=1 VLLM_NO_USAGE_STATS=1 VLLM_USE_FLASHINFER_SAMPLER=0 VLLM_HOST_IP=127.0.0.1
exec "$IB_PYTHON" -m vllm.entrypoints.openai.api_server --model "$MODEL_PATH" \
    --served-model-name "$MODEL_ID" --host "$HOST" --port "$PORT" \
    --quantization fp8 --kv-cache-dtype fp8 --max-num-batched-tokens 16384
SH
