"""What lies behind a face, and where it begins: for pages that put it before something else."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from pipelines.identity import IdentityStore
from realtime.errors import UnknownMatte


def matte_picture(store: IdentityStore, key: str) -> bytes:
    """A PNG of two pictures, one below the other: the background, and the face's matte at rest.

    They are of the square that is drawn upon, and lossless: what a page takes out of a picture is
    the difference. Not for the event loop.

    Raises:
        UnknownMatte: the features hold none, for their pipeline knows no background.
    """
    try:
        arrays = store.load(key).arrays
        background, matte = arrays["background"], arrays["matte"]
    except KeyError as error:
        raise UnknownMatte("the pipeline knows nothing of what is behind this face") from error
    both = np.concatenate([background, np.repeat(matte[..., None], 3, axis=2)])
    out = io.BytesIO()
    Image.fromarray(both).save(out, "PNG", compress_level=3)
    return out.getvalue()
