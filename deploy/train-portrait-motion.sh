#!/usr/bin/env bash
# Train the motion model that ships, from nothing. Usage: train-portrait-motion.sh DIR
# Every stage resumes where it was: run it again after an interruption.
set -euo pipefail

dir="${1:?usage: $0 DIR}"
python="${PYTHON:-python3.11}"
jobs="$(nproc)"

"$python" -m training.speech.corpus --out "$dir/corpus" --hours 30 --seed 0 --jobs "$jobs"
train() {  # RUN STEPS RATE [more]
  "$python" -m training.motion.train --corpus "$dir/corpus" --out "$dir/$1" --objective "$1" \
    --steps "$2" --rate "$3" --threads "$jobs" "${@:4}"
}
train regression 5000 1e-3
train velocity 4500 8e-4 --start "$dir/regression/model.safetensors"
train distil 8000 7e-4 --start "$dir/velocity/model.safetensors" \
  --teacher "$dir/velocity/model.safetensors"
"$python" -m training.motion.export "$dir/distil" --name portrait-motion
