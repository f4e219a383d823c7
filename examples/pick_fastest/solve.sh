#!/usr/bin/env bash
# A script agent: try a few launchers with ./evaluate and keep the fastest that passes the quality gate.
#   inferencebench run laptop-mini decode script:examples/pick_fastest
# It runs in /workspace behind the wall; the harness measures from outside. Its answer is submission/start_server.sh.
set -euo pipefail

scenario=$("$IB_PYTHON" -c 'import json; print(json.load(open("task.json"))["scenario"]["name"])')
case $scenario in
    prefill) candidates=(pytorch_bf16) ;;
    *) candidates=(llamacpp_f16 llamacpp_ngram) ;;
esac

best=""
for name in "${candidates[@]}"; do
    cp "agent/candidates/$name.sh" submission/start_server.sh
    echo "trying $name, $(./timer)"
    ./evaluate --quick --json > "$name.json" || { echo "$name: no valid evaluation"; continue; }
    if "$IB_PYTHON" agent/better.py "$name.json" ${best:+"$best.json"}; then
        best=$name
    fi
done

echo "keeping ${best:-the last one tried}"
cp "agent/candidates/${best:-${candidates[-1]}}.sh" submission/start_server.sh
