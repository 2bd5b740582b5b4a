#!/usr/bin/env bash
# Evaluate in several processes: tools/dist_test.sh CONFIG CHECKPOINT GPUS [arguments of tools/test.py]
# On several hosts, on each: NNODES=2 NODE_RANK=0 MASTER_ADDR=10.0.0.1 [PORT=29500] tools/dist_test.sh ...
set -euo pipefail
if [ $# -lt 3 ]; then
    echo "usage: $0 CONFIG CHECKPOINT GPUS [arguments of tools/test.py]" >&2
    exit 2
fi
config=$1
checkpoint=$2
gpus=$3
shift 3
tools=$(dirname "$0")
exec "${PYTHON:-python}" "$tools/dist_run.py" "$gpus" "$tools/test.py" "$config" "$checkpoint" --launcher pytorch "$@"
