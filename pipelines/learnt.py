"""What is kept of a video that is not kept: how the person speaks, and a photo.

An avatar's features hold it among their arrays and strings; beside the avatar's record it lies as a
file, from which the features are made again without the video. Imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from pipelines.identity import Arrays, IdentityFeatures
from pipelines.motion.style import OwnStyle

_PHOTO = "photo"  # among the arrays: the bytes of a JPEG


@dataclass(frozen=True)
class Learnt:
    """Of one video.

    style: how the person speaks; zero where nothing could be learnt.
    network: SHA-256 of the weights that `style.readout` is for.
    video: SHA-256 of the video.
    photo: a picture of it, as a JPEG; None where a photo was given beside it.
    note: what was learnt, or why not, in a sentence for the user.
    """

    style: OwnStyle
    network: str
    video: str
    photo: bytes | None
    note: str

    def style_for(self, network: str) -> OwnStyle:
        """The style for motion weights of this digest: without the read-out if it is of others."""
        return self.style if network == self.network else OwnStyle(self.style.style)

    def arrays(self) -> Arrays:
        """For `IdentityFeatures.arrays`, beside those of the face."""
        found = self.style.arrays()
        if self.photo is not None:
            found[_PHOTO] = np.frombuffer(self.photo, np.uint8)
        return found

    def meta(self) -> dict[str, str]:
        """For `IdentityFeatures.meta`."""
        return {"network": self.network, "video": self.video, "note": self.note}

    def save(self) -> bytes:
        """The content of a file for `load`."""
        return save(self.arrays(), self.meta())

    @classmethod
    def of(cls, arrays: Arrays, meta: dict[str, str]) -> Learnt | None:
        """What features hold of a video; None if they were made of none."""
        style = OwnStyle.of(arrays)
        if style is None:
            return None
        photo = arrays.get(_PHOTO)
        return cls(
            style=style,
            network=meta.get("network", ""),
            video=meta.get("video", ""),
            photo=None if photo is None else photo.tobytes(),
            note=meta.get("note", ""),
        )

    @classmethod
    def of_features(cls, features: IdentityFeatures) -> Learnt | None:
        """See `of`."""
        return cls.of(features.arrays, features.meta)

    @classmethod
    def load(cls, path: Path) -> Learnt:
        """Read a file.

        Raises:
            ValueError: it is damaged or holds something else.
        """
        try:
            with safe_open(path, framework="np") as file:
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                found = cls.of(arrays, dict(file.metadata() or {}))
        except SafetensorError as error:
            raise ValueError(f"{path} is damaged: {error}") from error
        if found is None:
            raise ValueError(f"{path} holds nothing that was learnt from a video")
        return found
