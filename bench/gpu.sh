#!/usr/bin/env bash
# Training and prediction on this machine's GPU, against its CPU and a loop over frames: bench/gpu.sh [--device cpu]
# Prints windows/s, kernel launches per step and the three largest costs, for float32 and bf16.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-$([[ -x .venv/bin/python ]] && echo .venv/bin/python || echo python3)}
command -v nvidia-smi >/dev/null && nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
PYTHONPATH=src:. exec "$PYTHON" bench/gpu.py "$@"
