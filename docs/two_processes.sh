#!/bin/bash
# Runs one training in two processes of this machine, as on two hosts.
#
#     bash docs/two_processes.sh --config configs/tiny.py --workdir runs/tiny
#
set -euo pipefail
cd "$(dirname "$0")/.."
port=${PORT:-12345}
for index in 0 1; do
    .venv/bin/python train.py --hosts.coordinator "localhost:$port" --hosts.count 2 --hosts.index "$index" "$@" &
done
status=0
for process in $(jobs -p); do
    wait "$process" || status=$?
done
exit "$status"
