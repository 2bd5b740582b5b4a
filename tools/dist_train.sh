#!/usr/bin/env bash
# Train in several processes: [MAX_RESTARTS=3] tools/dist_train.sh CONFIG GPUS [arguments of tools/train.py]
# On several hosts, on each: NNODES=2 NODE_RANK=0 MASTER_ADDR=10.0.0.1 [PORT=29500] tools/dist_train.sh ...
set -euo pipefail
if [ $# -lt 2 ]; then
    echo "usage: $0 CONFIG GPUS [arguments of tools/train.py]" >&2
    exit 2
fi
config=$1
gpus=$2
shift 2
tools=$(dirname "$0")
exec "${PYTHON:-python}" "$tools/dist_run.py" "$gpus" "$tools/train.py" "$config" --launcher pytorch "$@"
