"""Lip sync in the latent space: a template's lower half made anew from a sound (arXiv 2405.05636).

    target's upper half, reference      -> warp_reference -> reference's lower half in that pose
                                        -> prepare        -> what the U-Net makes of it alone
    sound of the frame and neighbours   -> listen         -> tokens
    prepared, tokens                    -> speak          -> the new lower half

The first line depends on the template only and is computed once per frame of it. Of the target
nothing but the upper half is ever seen, so its mouth cannot leak. What comes out is continuous; the
lower codebook's look-up, which holds on to codes against flicker, is the quantiser's.

Beyond the paper the U-Net is told how the poses differ: codes between those of two cells are not
those of a face half a cell further. What the warp leaves there can be mended, at no cost per frame.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from pipelines.swaptalk.config import LipConfig
from pipelines.swaptalk.ears import build_ear
from pipelines.swaptalk.latents import LatentScale, check_maps, lower, upper
from pipelines.swaptalk.unet import UNet
from pipelines.swaptalk.warp import FaceWarp, moved


class Warped(NamedTuple):
    """A reference's lower half in the pose of a target."""

    lower: Tensor  # [B, dim, h, w] on the VQGAN's scale
    turn: Tensor  # [B, warp_widths[0], h, w]: how the poses differ


class Prepared(NamedTuple):
    """What the lips need of a template's frame, on the network's scale.

    warped: the reference's lower half, [B, dim, h, w]. begun: features, [B, widths[0], h, w].
    """

    warped: Tensor
    begun: Tensor


class LipSync(nn.Module):
    """Warp and lip transform. Before training the mouth is the reference's."""

    def __init__(self, config: LipConfig | None = None, encoder: nn.Module | None = None) -> None:
        """encoder: of mel windows, where the ear hears mel; see `ears`."""
        super().__init__()
        self.config = config = config or LipConfig()
        self.scale = LatentScale(config.latent.dim)
        self.ear = build_ear(config.ear, encoder)
        self.warp = FaceWarp(config.latent.dim, config.warp_widths)
        self.transform = UNet(
            config.latent.dim + config.warp_widths[0], config.widths, config.latent.dim,
            token=config.ear.width, heads=config.heads, starts_silent=True,
        )  # fmt: skip

    def warp_reference(self, target_upper: Tensor, reference: Tensor) -> Warped:
        """Upper halves of targets, float32 [B, dim, rows / 2, columns], and a reference for each,
        [B, dim, rows, columns] -> the references' lower halves in the targets' poses."""
        check_maps(reference, self.config.latent)
        seen = self.scale.enter(reference)
        turn, offsets = self.warp(self.scale.enter(target_upper), upper(seen))
        return Warped(moved(lower(reference), offsets), turn)

    def prepare(self, warped: Warped) -> Prepared:
        """What `speak` needs of a warped lower half."""
        half = self.scale.enter(warped.lower)
        return Prepared(half, self.transform.begin(torch.cat([half, warped.turn], 1)))

    def listen(self, sound: Tensor) -> Tensor:
        """What the ear is given for each frame, see `ears` -> tokens [B, tokens, width]."""
        tokens: Tensor = self.ear(sound)
        return tokens

    def speak(self, prepared: Prepared, tokens: Tensor) -> Tensor:
        """The lower half that says the tokens, continuous, [B, dim, rows / 2, columns]."""
        said = prepared.warped + self.transform.finish(prepared.begun, tokens)
        return self.scale.leave(said)

    def forward(self, target: Tensor, reference: Tensor, sound: Tensor) -> Tensor:
        """The target with a mouth that says the sound.

        Args:
            target: frames of a template, float32 [B, dim, rows, columns], of the VQGAN's scale.
            reference: another frame of the template each, of the same shape.
            sound: what the ear hears, [B, tokens, ...].

        Returns:
            Maps [B, dim, rows, columns]: the target's upper half as it was, a new lower half.

        Raises:
            ValueError: maps or sound of another shape.
        """
        check_maps(target, self.config.latent)
        kept = upper(target)
        prepared = self.prepare(self.warp_reference(kept, reference))
        return torch.cat([kept, self.speak(prepared, self.listen(sound))], 2)
