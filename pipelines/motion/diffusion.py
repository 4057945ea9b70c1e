"""Motion drawn by diffusion from the voice: the default of the `portrait` preset.

features -> Hearing -> StreamingSampler -> latent of one frame -> mouth, brows, head
                 behaviour, head pose -> IdleMotion -> blinks, gaze, breath
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from pipelines.audio.mel import MelConfig
from pipelines.checkpoints import check_tensors
from pipelines.diffusion.config import PRESETS
from pipelines.diffusion.generator import MotionGenerator
from pipelines.diffusion.schedule import Level, flow_levels
from pipelines.diffusion.stream import StreamingSampler, StreamState, Window
from pipelines.motion.hearing import Hearing, behaviour
from pipelines.motion.idle import IdleMotion, IdleState
from pipelines.motion.latent import SHAPES, MotionLatent
from pipelines.motion.lip_closure import LipClosure
from pipelines.motion.model import MotionModel
from pipelines.motion.space import BLENDSHAPES, MOTION_INDEX, PORTRAIT_WEIGHTS
from pipelines.motion.voice import VoiceState
from pipelines.streaming import SlotState, masked_write
from pipelines.weights import find_weights

WINDOW = Window(context=15, new=1, ahead=2)
ONE_PASS = flow_levels([1.0])
# Without anything like a voice, a jaw this little open (weights) is left shut; fully open beyond.
_SHUT_BELOW, _OPEN_ABOVE = 0.02, 0.08
_MOUTH = slice(0, BLENDSHAPES.index("tongueOut") + 1)
_POSE = slice(len(BLENDSHAPES), len(BLENDSHAPES) + 6)


@dataclass
class DiffusionState(SlotState):
    voice: VoiceState
    stream: StreamState
    life: IdleState
    springs: Tensor  # [B, 2, 9]: where brows and head were


def load_generator(path: Path) -> MotionGenerator:
    """Our own generator from a safetensors file, in float32 for evaluation.

    Raises:
        ValueError: the file does not hold exactly this network.
    """
    model = MotionGenerator(PRESETS["portrait"])
    tensors = {
        name: v.float() if v.is_floating_point() else v for name, v in load_file(path).items()
    }
    check_tensors(tensors, model.state_dict(), str(path))
    model.load_state_dict(tensors)
    return model.eval().requires_grad_(False)


def load_motion(weights: str = PORTRAIT_WEIGHTS) -> DiffusionMotion:
    """Our generator as a stream, one pass per frame, by the name of its weights.

    Raises:
        ValueError: they are not installed, or of another network.
    """
    return DiffusionMotion(MelConfig(), load_generator(find_weights(weights)))


class DiffusionMotion(MotionModel):
    """Our generator as a stream; `window.ahead` frames late.

    levels, warm, hidden: as of `StreamingSampler`; the defaults are those that it was trained for.
    """

    def __init__(
        self,
        mel: MelConfig,
        model: MotionGenerator,
        seed: int = 0,
        window: Window = WINDOW,
        levels: Sequence[Level] = ONE_PASS,
        warm: bool = False,
        hidden: int = SHAPES.stop,
    ) -> None:
        super().__init__(mel, seed)
        if window.new != 1:
            raise ValueError(f"one frame is due per hop, not {window.new}")
        self.hearing = Hearing(mel)
        self.sampler = StreamingSampler(model, window, levels, warm, hidden)
        self.latent = MotionLatent()
        self.meeting = LipClosure()
        self.life = IdleMotion()
        self.silence: Tensor
        self.register_buffer("silence", self.hearing.silence(), persistent=False)

    @property
    def delay(self) -> int:
        return self.sampler.window.ahead

    def init_state(
        self, batch: int, device: torch.device | str = "cpu", seeds: Tensor | None = None
    ) -> DiffusionState:
        seeds = self._seeds(batch, device, seeds)
        rest = self.latent.rest.to(device).expand(batch, -1)
        return DiffusionState(
            self.hearing.init_state(batch, device),
            self.sampler.init_state(self.silence.to(device), rest, seeds),
            self.life.init_state(seeds),
            self.latent.at_rest(batch, device),
        )

    def set_seed(self, state: DiffusionState, slots: Tensor, seeds: Tensor) -> None:
        state.stream.set_seed(slots, seeds)
        state.life.set_seed(slots, seeds)

    def step(
        self,
        features: Tensor,
        speech: Tensor,
        controls: Tensor,
        state: DiffusionState,
        active: Tensor,
    ) -> Tensor:
        rows = self.hearing.step(features, speech, state.voice, active)
        moved, springs = self.latent.decode(
            self.sampler.step(rows, state.stream, active), state.springs
        )
        masked_write(state.springs, springs, active)
        drawn: Tensor = self.meeting(moved[:, 0])
        face = drawn * controls[:, :1]
        face[:, _MOUTH] *= _awake(drawn, state.voice.gate)
        face[:, _POSE] = 0.0
        still = torch.zeros_like(controls[:, 0])
        life = self.life.step(
            behaviour(state.voice), still, controls, state.life, active, drawn[:, _POSE]
        )
        return (life + face).clamp(self.low, self.high)

    def behaviour(self, state: DiffusionState) -> Tensor:
        return behaviour(state.voice).to(torch.int8)


def _awake(drawn: Tensor, gate: Tensor) -> Tensor:
    """Share of the mouth's motion to show, [B, 1]: all with a voice, no trembling without."""
    jaw = drawn[:, MOTION_INDEX["jawOpen"]]
    wide = ((jaw - _SHUT_BELOW) / (_OPEN_ABOVE - _SHUT_BELOW)).clamp(0.0, 1.0)
    return torch.maximum(gate, wide)[:, None]
