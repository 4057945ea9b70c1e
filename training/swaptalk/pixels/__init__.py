"""Lip sync in pixels, as Wav2Lip works: what the latent lips are compared with.

    target's upper half, reference's square -> the reference's lower half in that pose
    motion of the frame and its neighbours  -> tokens, of the same ear as the latent lips'
    both                                    -> the new lower half, in pixels

Warp, ear and U-Net are those of the latent lips (`pipelines.swaptalk.lips`), over patches of pixels
in the place of a VQGAN's cells, for the same work per frame: what is left to compare is the space.
No part of the streamed system; it is trained and measured.
"""
