#!/bin/bash
# llama.cpp, 8-bit weights: half the memory traffic of f16 per token.
exec "$IB_PYTHON" -m inferencebench.engines.llamacpp serve --model "$MODEL_PATH" --served-name "$MODEL_ID" \
    --host "$HOST" --port "$PORT" --weights q8_0 --flash-attn enabled
