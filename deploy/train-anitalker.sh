#!/usr/bin/env bash
# Train the renderer and the motion map of the `anitalker` preset, from nothing.
# Usage: train-anitalker.sh DIR [more arguments of flow_warp.train]
# Every stage resumes where it was: run it again after an interruption.
set -euo pipefail

dir="${1:?usage: $0 DIR}"
shift
python="${PYTHON:-python3.11}"
workers="${WORKERS:-1}"  # processes; one per GPU

"$python" -m pipelines.training.flow_warp.data drawn --out "$dir/faces" --identities 480 --seed 0
launch=("$python")
if [ "$workers" -gt 1 ]; then
  launch=("$python" -m torch.distributed.run --standalone --nproc-per-node "$workers")
fi
"${launch[@]}" -m pipelines.training.flow_warp.train --data "$dir/faces" --out "$dir/run" "$@"
"$python" -m pipelines.training.flow_warp.head --run "$dir/run" --data "$dir/faces"
"$python" -m pipelines.training.flow_warp.export "$dir/run"
