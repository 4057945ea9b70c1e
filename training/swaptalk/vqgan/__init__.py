"""Training the VQGAN of SwapTalk on a store of faces (`training.flow_warp.store`).

    python -m training.swaptalk.vqgan --data DIR --out RUN
    torchrun --nproc-per-node 1 -m training.swaptalk.vqgan --data DIR --out RUN --config large \
        --steps 6000 --begin 600 --count 64 --bfloat16 --loaders 12 --critic-from 3000     # a GPU

A picture costs 5.5 GFLOP with `small`, forward and backward: 0.1 s of one core. `--start FILE`
begins with other weights, ours or published ones that were imported.

**What is drawn, and how often.** While an avatar speaks, only lower halves are drawn; the upper
half of a frame is the video's own, or where the face was swapped, a picture made once at enrolment.
So most steps encode the upper half without learning from it, since the rows next to the seam are
decoded from both halves, and draw and judge the lower half alone, for about half of the work. Every
fifth step draws the whole face, so that swapped eyes are drawn at all. The upper codebook follows
the encoder in all steps, which costs nothing.

**In which order.** First without codes, as an autoencoder; then the codebooks are found by k-means
among the vectors it gives, and training goes on with them. Codes that nothing was near to for a
while are put where a vector is.
"""
