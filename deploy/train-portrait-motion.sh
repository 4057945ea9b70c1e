#!/usr/bin/env bash
# Train the motion model that ships, from nothing. Usage: train-portrait-motion.sh DIR [RECORDINGS]
# RECORDINGS is a folder of `python -m training.speech.recordings`; docs/training.md says of what the
# shipped weights' was. Without it the network hears synthetic voices only, and follows real ones
# less truly. Every part resumes where it was: run it again after an interruption.
set -euo pipefail

dir="${1:?usage: $0 DIR [RECORDINGS]}"
recordings="${2:-${RECORDINGS:-}}"
python="${PYTHON:-python3.11}"
jobs="$(nproc)"

corpora=("$dir/corpus")
"$python" -m training.speech.corpus --out "$dir/corpus" --hours 16 --seed 0 --jobs "$jobs"
if [ -n "$recordings" ]; then
  "$python" -m training.speech.corpus --out "$dir/recorded" --hours 8 --seed 0 --jobs "$jobs" \
    --recordings "$recordings"
  corpora+=("$dir/recorded")
fi
"$python" -m training.motion.train --corpus "${corpora[@]}" --out "$dir/motion" \
  --steps 24000 --threads "$jobs"
"$python" -m training.motion.export "$dir/motion" --name portrait-motion
