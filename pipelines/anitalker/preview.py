"""Two seconds of a face that moves, drawn by the network and pasted as sessions get it."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.anitalker.batched import BatchedNetwork, baked
from pipelines.anitalker.config import MAPPED, AniTalkerOptions
from pipelines.anitalker.pair import find_pair
from pipelines.anitalker.paste import BACKINGS, paste
from pipelines.anitalker.weights import load_map, load_renderer
from pipelines.identity import IdentityFeatures
from pipelines.motion.preview import SIDE, preview_motion
from pipelines.photo.errors import EnrolmentError
from pipelines.weights import find_weights, read_metadata


def draw_preview(
    identity: IdentityFeatures, options: AniTalkerOptions
) -> Iterator[NDArray[np.uint8]]:
    """Frames [SIDE, SIDE, 3] of `preview_motion`, put into codes.

    Raises:
        EnrolmentError: no map from motion speaks the codes of the renderer's weights.
    """
    to_code = load_map(_map_for(options))
    network = BatchedNetwork(load_renderer(options.renderer_weights), 1)
    network.set(0, baked(identity))
    backing = BACKINGS.get(identity, (SIDE, SIDE), torch.device("cpu"))
    planes = torch.empty(1, SIDE * 3 // 2, SIDE, dtype=torch.uint8)
    with torch.inference_mode():
        for code in to_code.drawn(torch.from_numpy(preview_motion())):
            paste(network.draw(code[None], [0]), backing, planes)
            yield np.asarray(cv2.cvtColor(planes[0].numpy(), cv2.COLOR_YUV2RGB_I420))


def _map_for(options: AniTalkerOptions) -> str:
    """Weights of a map that the renderer's codes are made by: the options' own, or else, beside a
    generator of codes, the one that it learnt from."""
    kind = read_metadata(find_weights(options.motion_weights)).get("kind")
    name = options.motion_weights if kind == MAPPED else AniTalkerOptions().motion_weights
    try:
        find_pair(options.renderer_weights, name)
    except ValueError as error:
        raise EnrolmentError("no_preview", f"These weights have no preview: {error}") from error
    return name
