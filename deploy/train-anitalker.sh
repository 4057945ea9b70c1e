#!/usr/bin/env bash
# Train the renderer and the motion map of the `anitalker` pipeline, from nothing, and then a generator
# of their motion codes from speech, which begins with what the generator of `portrait` hears.
# Usage: train-anitalker.sh DIR [more arguments of flow_warp.train]
# PORTRAITS=FOLDER adds portraits of people, without which it knows drawn skin only; INDEX=CSV is
# their table (training/portraits), MARK="WIDTH HEIGHT" the pixels of a mark in their lower right corner.
# CORPUS=FOLDER takes a corpus of speech that is there already.
# On a GPU: train-anitalker.sh DIR --pairs 16 --loaders 12 --bfloat16 --steps 3000
# Every stage resumes where it was: run it again after an interruption.
set -euo pipefail

dir="${1:?usage: $0 DIR}"
shift
python="${PYTHON:-python3.11}"

. "$(dirname "$0")/train-faces.sh"
"${launch[@]}" -m training.flow_warp.train --data "$dir/faces" --out "$dir/run" "$@"
"$python" -m training.flow_warp.head --run "$dir/run" --data "$dir/faces"
"$python" -m training.flow_warp.export "$dir/run"

jobs="$(nproc)"
corpus="${CORPUS:-$dir/corpus}"
if [ -z "${CORPUS:-}" ]; then
  "$python" -m training.speech.corpus --out "$corpus" --hours 30 --seed 0 --jobs "$jobs"
fi
"$python" -m training.motion.train --corpus "$corpus" --out "$dir/codes" \
  --map "$dir/run/model.safetensors" --steps 10000 --rate 1e-3 --threads "$jobs"
"$python" -m training.motion.export "$dir/codes" --name anitalker-generator
