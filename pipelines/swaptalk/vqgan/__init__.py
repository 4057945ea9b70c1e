"""A face as a map of codes: VQGAN (arXiv 2012.09841), with a codebook per half as in SwapTalk.

    from pipelines.swaptalk.vqgan.weights import load_vqgan      # by the name of its weights
    from pipelines.swaptalk.vqgan.config import SMALL, PRESETS   # torch-free
    from pipelines.swaptalk.vqgan.network import Vqgan

Shapes: pictures are float32 [B, 3, S, S] in [-1, 1], RGB, S = config.size; maps of vectors
[B, D, g, g] with D = config.code_dim and g = config.grid = S / config.factor; codes int64
[B, g, g]. The upper half of a map, rows up to g / 2, is the upper half of the face. `SMALL` has
S = 256, D = 32, g = 16, so that a half is [B, 32, 8, 16] and has 128 cells.

    z = model.encode_halves(pictures)            [B, D, g, g]: each half seen apart
    z = model.encode(lower)                      [B, D, g/2, g] of a half [B, 3, S/2, S]
    values, codes = model.quantise(z)            nearest codes, each half in its own book
    values, codes = model.quantise(z, last=codes, margin=0.2)    held on to, against flicker
    values, codes = model.lower_book(z_lower, last, margin)      the same of lower halves alone
    z = model.look_up(codes)                     what `values` were
    pictures = model.decode(z)                   [B, 3, S, S], to be clamped
    lower = model.decode_lower(z)                [B, 3, S/2, S]: those rows of `decode`

Maps need not be quantised to be decoded. What is square here may be of other sides, as long as
halves are whole cells. Gradients flow through all of it but `quantise`. Which part of a frame is
the face, and where its halves meet, says `crop`.

**Where the work goes.** For one stream the encoder runs at enrolment only; a frame costs one
`decode_lower`. The published decoders look at the whole picture twice over, by attention and by the
statistics of GroupNorm, so that the lower half cannot be had without the upper. Those of ours are
`local_decoder`s: each cell is normalised by itself, no attention; a lower half then depends on
`halos(config)[0]` rows of the map above it, and computing just these gives the same rows.

**The upper half** is needed twice: as vectors, since the rows next to the seam are decoded from
both halves, and as a picture where the face was swapped, once per template frame at enrolment.
While somebody speaks it is not drawn at all: those pixels are the video's own. So lower halves have
a codebook of their own, and training draws the upper half seldom (`training/swaptalk`).

Parameters have the names of the published files; `import_vqgan` reads those.
"""
