#!/bin/bash
# The reference server in bfloat16: prefill is bound by arithmetic, and bf16 products run about twice as fast.
exec "$IB_PYTHON" -m inferencebench.engines.pytorch serve --model "$MODEL_PATH" --served-name "$MODEL_ID" \
    --host "$HOST" --port "$PORT" --dtype bfloat16
