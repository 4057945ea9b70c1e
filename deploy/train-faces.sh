# Faces to train on, in DIR/faces: sourced by the scripts that train anitalker and swaptalk.
# Sets launch, what starts a training on WORKERS GPUs. Needs $dir and $python; PORTRAITS, INDEX and MARK as train-anitalker.sh says.
drawn=480
if [ -n "${PORTRAITS:-}" ]; then
  drawn=120
  index=(${INDEX:+--index "$INDEX"})
  mark=(${MARK:+--mark $MARK})
  "$python" -m training.flow_warp.data portraits --out "$dir/faces" --portraits "$PORTRAITS" \
    --identities 440 "${index[@]}" "${mark[@]}"
fi
"$python" -m training.flow_warp.data drawn --out "$dir/faces" --identities "$drawn" --seed 0
launch=("$python")
if [ "${WORKERS:-1}" -gt 1 ]; then  # processes; one per GPU
  launch=("$python" -m torch.distributed.run --standalone --nproc-per-node "$WORKERS")
fi
