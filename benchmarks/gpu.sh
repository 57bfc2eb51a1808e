#!/usr/bin/env bash
# What suits a GPU, in one command and at most nine minutes:
#     bash benchmarks/gpu.sh [python]
# Correctness against the CPU, then live and batched detection, training, LSTS, at 600x1000 with ResNet-101 in
# bfloat16. Tables go to the terminal, measurements to benchmarks/results/gpu. Each part ends at its limit, and
# the others go on; the exit status tells whether all succeeded.
set -uo pipefail
cd "$(dirname "$0")/.."
python=${1:-python3}
results=benchmarks/results/gpu
mkdir -p "$results"
# The parts share what they compile, which is most of their time.
cache=$(mktemp -d)
trap 'rm -rf "$cache"' EXIT
export PYTHONUNBUFFERED=1 XLA_PYTHON_CLIENT_PREALLOCATE=false
export JAX_COMPILATION_CACHE_DIR=$cache JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0.5
failed=()

run() { # name, seconds at most, module and its options
    local name=$1 limit=$2
    shift 2
    echo "== $name"
    SECONDS=0
    timeout "$limit" "$python" -m "$@" --json "$results/$name.json" || failed+=("$name")
    echo "   $SECONDS seconds"
}

run check 90 benchmarks.check_device
run detector_live 130 benchmarks.detector --dtype bfloat16 --frames-per-batch 9 --stream 600 --seconds 2
run train_step 120 benchmarks.train_step --batch 8 --dtype bfloat16 --seconds 4
run detector_batched 100 benchmarks.detector --dtype bfloat16 --videos 8 --frames-per-batch 9 --stream 400 --seconds 2 --segments-only
run postprocess 30 benchmarks.postprocess --seconds 1
run lsts_batched 30 benchmarks.lsts --forms factorised --batch 8 --dtype bfloat16 --seconds 1
run lsts 40 benchmarks.lsts --seconds 1

if ((${#failed[@]})); then
    echo "failed or cut short: ${failed[*]}"
    exit 1
fi
