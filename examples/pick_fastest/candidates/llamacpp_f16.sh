#!/bin/bash
# llama.cpp, half-precision weights, fused attention, one slot so that the whole cache belongs to one request.
exec "$IB_PYTHON" -m inferencebench.engines.llamacpp serve --model "$MODEL_PATH" --served-name "$MODEL_ID" \
    --host "$HOST" --port "$PORT" --weights f16 --flash-attn enabled
