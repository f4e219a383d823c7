#!/bin/bash
# llama.cpp with n-gram speculation: drafts are copied from the text so far, and every token is still verified by the model.
exec "$IB_PYTHON" -m inferencebench.engines.llamacpp serve --model "$MODEL_PATH" --served-name "$MODEL_ID" \
    --host "$HOST" --port "$PORT" --weights f16 --flash-attn enabled --spec ngram-mod
