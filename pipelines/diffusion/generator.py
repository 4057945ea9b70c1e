"""The motion generator: sound and a noisy motion in, the noise (or velocity, or motion) out.

AniTalker's stage 2 (arXiv 2405.03121) as published, and smaller networks of the same family.
Parameter names are those of the published checkpoints.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from pipelines.diffusion.config import GeneratorConfig
from pipelines.diffusion.conformer import Conformer


@dataclass(frozen=True)
class Given:
    """Control signals in place of predicted ones, float32.

    pose: [B, T, 3] yaw, pitch, roll over 90 degrees, or [B, T, given_dim] where the network wants
    these; location: [B, T, 1] of the nose tip in picture widths; scale: [B, T, 1] from brows to
    chin in picture heights. The last two only where the network has framing adapters.
    """

    pose: Tensor
    location: Tensor | None = None
    scale: Tensor | None = None

    def select(self, rows: Tensor) -> Given:
        """The signals of the slots `rows` (int64)."""
        location, scale = (
            None if signal is None else signal[rows] for signal in (self.location, self.scale)
        )
        return Given(self.pose[rows], location, scale)


@dataclass(frozen=True)
class Condition:
    """What a window is generated from; the same for every step of the sampler.

    frames: [B, T, decoder_dim - 2 side_dim], speech, last motion and identity, per frame.
    predicted: what the adapters predict (or were given): pose [B, T, 3], location, scale [B, T, 1].
    """

    frames: Tensor
    predicted: dict[str, Tensor]


class MotionGenerator(nn.Module):
    """A denoiser of motion codes [B, T, motion_dim] conditioned on sound."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        if config.audio_layers:
            self.weights = nn.Parameter(torch.zeros(config.audio_layers))
        widths = (config.audio_dim, *config.down)
        for i, (before, after) in enumerate(pairwise(widths), 1):
            self.add_module(f"down_sample{i}", nn.Conv1d(before, after, 3, stride=2, padding=1))
        speech, side = config.speech_dim, config.side_dim
        if config.speech_blocks:
            self.speech_encoder = Conformer(
                speech, config.speech_blocks, config.heads, config.kernel, config.dropout
            )
        self.adapted = _adapted(config)
        for name, channels in self.adapted.items():
            self.add_module(f"{name}_predictor", Recurrent(speech, config.adapter_dim, channels))
            self.add_module(f"{name}_encoder", Recurrent(channels, config.adapter_dim, speech))
        if config.given_dim:
            self.given_encoder = nn.Linear(config.given_dim, speech)
            self.unit: Tensor
            self.register_buffer("unit", torch.ones(config.motion_dim))  # a motion of 1, in codes
        self.encoder_direction_code = nn.Linear(config.motion_dim, side)
        if config.identity_dim:
            self.init_code_proj = nn.Sequential(nn.Linear(config.identity_dim, side))
        self.noisy_encoder = nn.Sequential(nn.Linear(config.motion_dim, side))
        self.t_encoder = nn.Sequential(nn.Linear(config.time_features, side))
        self.coarse_decoder = Conformer(
            config.decoder_dim, config.decoder_blocks, config.heads, config.kernel, config.dropout
        )
        self.out_proj = nn.Linear(config.decoder_dim, config.motion_dim)
        if config.time_features > 1:
            rates = torch.arange(config.time_features, dtype=torch.float32) * math.pi
            self.rates: Tensor
            self.register_buffer("rates", rates, persistent=False)

    def hear(self, audio: Tensor) -> Tensor:
        """Sound features to one vector per frame.

        audio: float32 [B, rows_per_frame * T, audio_dim], or [B, audio_layers, rows_per_frame * T,
        audio_dim] where hidden states are mixed. Returns [B, T, speech_dim].

        Raises:
            ValueError: the shape does not fit.
        """
        config = self.config
        shape = (config.audio_layers,) if config.audio_layers else ()
        rows = audio.shape[-2]
        if audio.shape[1:] != (*shape, rows, config.audio_dim) or rows % config.rows_per_frame:
            want = ", ".join(map(str, ("B", *shape, f"{config.rows_per_frame} T")))
            raise ValueError(
                f"sound features must be [{want}, {config.audio_dim}], got {tuple(audio.shape)}"
            )
        if config.audio_layers:
            audio = torch.einsum("l,blrd->brd", self.weights.softmax(0), audio)
        x = audio.transpose(1, 2)
        for i in range(len(config.down)):
            x = self.get_submodule(f"down_sample{i + 1}")(x)
        x = x.transpose(1, 2)
        if config.speech_blocks:
            x = self.speech_encoder(x)
        return x

    def condition(
        self, speech: Tensor, last: Tensor, identity: Tensor | None = None,
        given: Given | None = None,
    ) -> Condition:  # fmt: skip
        """Everything about a window that does not depend on the noise.

        speech: [B, T, speech_dim] from `hear`. last: [B, motion_dim], the motion code before the
        window (of the reference picture at the start). identity: [B, identity_dim], its start code.
        """
        predicted: dict[str, Tensor] = {}
        for name in self.adapted:
            value = None if given is None else getattr(given, _SIGNALS[name])
            if value is None:
                if given is not None:
                    raise ValueError(f"{_SIGNALS[name]} must be given too: one switch for all")
                value = self.get_submodule(f"{name}_predictor")(speech)
            predicted[_SIGNALS[name]] = value
            speech = speech + self.get_submodule(f"{name}_encoder")(value)
        if self.config.given_dim:
            if given is None:
                raise ValueError("this generator needs head and eyes to be given")
            speech = speech + self.given_encoder(given.pose)
        sides = [self.encoder_direction_code(last)]
        if self.config.identity_dim:
            if identity is None:
                raise ValueError("this generator needs the identity's start code")
            sides.append(self.init_code_proj(identity))
        frames = speech.shape[1]
        wide = [side[:, None].expand(-1, frames, -1) for side in sides]
        return Condition(torch.cat([speech, *wide], 2), predicted)

    def forward(self, noisy: Tensor, time: Tensor, condition: Condition) -> Tensor:
        """What `config.objective` says of a noisy window.

        noisy: [B, T, motion_dim]. time: [B, 1] or [B, T]; the step number as published, or a time
        in [0, 1] where `time_features` > 1. Returns [B, T, motion_dim].
        """
        when = time[:, :, None]
        if self.config.time_features > 1:
            when = torch.cos(when * self.rates)
        t = self.t_encoder(when).expand(*noisy.shape[:2], -1)
        z = torch.cat([condition.frames, self.noisy_encoder(noisy), t], 2)
        out: Tensor = self.out_proj(self.coarse_decoder(z))
        return out


class Recurrent(nn.Module):
    """Two layers of LSTM and a projection: [B, T, in] -> [B, T, out], causal."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(inputs, hidden, num_layers=2, batch_first=True)
        self.fc = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc(self.lstm(x)[0])
        return out


# Names in the checkpoints, in the order of the adapters, and those of `Given`.
_SIGNALS = {"location": "location", "face_scale": "scale", "pose": "pose"}


def _adapted(config: GeneratorConfig) -> dict[str, int]:
    """Adapters and their channels, in the order in which they act."""
    framing = {"location": 1, "face_scale": 1} if config.framing else {}
    return framing | ({"pose": 3} if config.pose else {})
