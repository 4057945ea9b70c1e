"""SwapTalk (arXiv 2405.05636): lip sync and face swap in one VQ latent space, as a stream.

`vqgan` is the space: a face as a map of codes, upper and lower half apart. What moves and what
swaps faces works on its maps. The stream is a system like the others:

    enrol     video or photo -> `template` (frames kept encoded, `square`, `mask`, `loop`)
                             -> `swapped`, if another face was given
                             -> `faces.prepare`, all that depends on the template alone
    a frame   motion -> `faces.draw` -> `paste` into the frame that `player` decoded ahead
"""
