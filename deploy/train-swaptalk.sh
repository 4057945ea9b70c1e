#!/usr/bin/env bash
# Train the networks of the `swaptalk` pipeline from nothing: space of faces, sync expert, lips, swap.
# Usage: train-swaptalk.sh DIR
# PORTRAITS, INDEX and MARK as for train-anitalker.sh, whose faces are used if they are in DIR already.
# Without a GPU two hours of one core, beside the faces. On one GPU, larger and in minutes:
#   GPU=1 train-swaptalk.sh DIR                 (WORKERS=N: on N GPUs)
# Every stage resumes where it was: run it again after an interruption.
set -euo pipefail

dir="${1:?usage: $0 DIR}"
python="${PYTHON:-python3.11}"
out="${OUT:-weights}"

. "$(dirname "$0")/train-faces.sh"
space=(--steps 900)
expert=(--steps 1500)
lips=(--steps 2600)
swap=(--steps 1050 --batch 12 --rate 8e-4)
latents=()
if [ -n "${GPU:-}" ]; then
  space=(--config large --steps 3000 --count 32 --loaders 12 --bfloat16)
  expert=(--steps 3000 --batch 200 --bfloat16)
  lips=(--steps 6000 --batch 200 --bfloat16)
  swap=(--steps 6000 --batch 64 --rate 8e-4 --bfloat16)
  latents=(--device cuda)
fi
"${launch[@]}" -m training.swaptalk.vqgan --data "$dir/faces" --out "$dir/space" --begin 50 --rate 1e-3 "${space[@]}"
"$python" -m training.swaptalk.export "$dir/space" --out "$out"
"$python" -m training.swaptalk.latents --data "$dir/faces" --out "$dir/latents" \
  --vqgan "$out/swaptalk-vqgan.safetensors" "${latents[@]}"
train=("${launch[@]}" -m training.swaptalk.train)
"${train[@]}" expert --data "$dir/latents" --out "$dir/expert" "${expert[@]}"
"${train[@]}" lips --data "$dir/latents" --out "$dir/lips" --expert "$dir/expert/model.safetensors" "${lips[@]}"
"${train[@]}" swap --data "$dir/latents" --out "$dir/swap" "${swap[@]}"
for run in lips swap; do
  "$python" -m training.swaptalk.export "$dir/$run" --out "$out"
done
