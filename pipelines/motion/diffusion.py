"""Motion generated from the voice: the motion of the `portrait` pipeline.

features -> Hearing -> MotionNetwork -> latent of one frame -> mouth, brows, head
                 behaviour, head pose -> IdleMotion -> blinks, gaze, breath
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from pipelines.audio.mel import MelConfig
from pipelines.checkpoints import check_tensors
from pipelines.identity import IdentityFeatures
from pipelines.motion.controls import ARTICULATION, EXPRESSION
from pipelines.motion.hearing import Hearing, behaviour
from pipelines.motion.idle import IdleMotion, IdleState
from pipelines.motion.latent import DRIVEN, MotionLatent
from pipelines.motion.lip_closure import LipClosure
from pipelines.motion.model import MotionModel
from pipelines.motion.network import AHEAD, MotionNetwork, NetworkConfig, NetworkState
from pipelines.motion.reach import Reach
from pipelines.motion.space import BLENDSHAPES, MOTION_DIM, MOTION_INDEX, PORTRAIT_WEIGHTS
from pipelines.motion.style import RECENT, STYLE, STYLE_DIM, STYLE_LIMIT, OwnStyle
from pipelines.motion.voice import VoiceState
from pipelines.noise import mix, seed_keys, uniform
from pipelines.streaming import SlotState, masked_fill, masked_write, put
from pipelines.weights import find_weights, read_metadata

# Without anything like a voice, a jaw this little open (weights) is left shut; fully open beyond.
_SHUT_BELOW, _OPEN_ABOVE = 0.02, 0.08
_MOUTH = slice(0, BLENDSHAPES.index("tongueOut") + 1)
_POSE = slice(len(BLENDSHAPES), len(BLENDSHAPES) + 6)
_FORCES = DRIVEN.stop - DRIVEN.start
_CUT_FRAMES = 3.0  # by which lips have closed after a cut: 120 ms
_LONG_AGO = 1e6
# What the control adds to the style numbers at 2, and takes at 0.
_ARTICULATED = torch.tensor([{"plateau": 1.5, "width": 1.5}.get(name, 0.0) for name in STYLE])


@dataclass
class DiffusionState(SlotState):
    voice: VoiceState
    network: NetworkState
    idle: IdleState
    springs: Tensor  # [B, 2, 9]: where brows and head were
    home: Tensor  # [B] int64: the key a reset returns to
    key: Tensor  # [B] int64: what the noise of brows and head is keyed by
    frame: Tensor  # [B] int64: number of the next frame to be shown; negative before the first
    cut: Tensor  # [B]: frames since what was heard and not shown was forgotten
    style: Tensor  # [B, STYLE_DIM] of the face
    readout: Tensor  # [B, 2, RECENT * dim + 1]: the face's own, see `OwnStyle`
    recent: Tensor  # [B, RECENT - 1, dim]: what was heard in the frames before, the oldest first

    def reset(self, slots: Tensor) -> None:
        for part in (self.voice, self.network, self.idle):
            part.reset(slots)
        masked_fill(self.springs, 0, slots)
        masked_write(self.key, self.home, slots)
        masked_fill(self.frame, -AHEAD, slots)
        masked_fill(self.cut, _LONG_AGO, slots)
        masked_fill(self.recent, 0, slots)

    def clear(self, slots: Tensor) -> None:
        self.voice.clear(slots)
        masked_fill(self.cut, 0, slots)


def load_network(path: Path) -> MotionNetwork:
    """The network of a weights file, in float32 for evaluation.

    Raises:
        ValueError: the file does not hold exactly this network.
    """
    told = read_metadata(path).get("network")
    if told is None:
        raise ValueError(f"{path} holds no streaming motion network; see `vivavoce weights list`")
    network = MotionNetwork(NetworkConfig(**json.loads(told)))
    tensors = {name: v.float() for name, v in load_file(path).items()}
    check_tensors(tensors, network.state_dict(), str(path))
    network.load_state_dict(tensors)
    return network.eval().requires_grad_(False)


def network_metadata(network: MotionNetwork) -> dict[str, str]:
    """What a weights file says of its network."""
    return {"kind": "portrait-motion", "network": json.dumps(asdict(network.config))}


def load_motion(weights: str = PORTRAIT_WEIGHTS) -> DiffusionMotion:
    """Our network as a stream, by the name of its weights.

    Raises:
        ValueError: they are not installed, or of another network.
    """
    return DiffusionMotion(MelConfig(), load_network(find_weights(weights)))


class DiffusionMotion(MotionModel):
    """Our network as a stream, `AHEAD` frames late."""

    def __init__(self, mel: MelConfig, network: MotionNetwork, seed: int = 0) -> None:
        super().__init__(mel, seed)
        self.hearing = Hearing(mel)
        self.network = network
        self.latent = MotionLatent()
        self.lip_closure = LipClosure()
        self.reach = Reach()
        self.idle = IdleMotion()
        self.channels: Tensor
        self.articulated: Tensor
        channels = mix(torch.arange(2 * _FORCES) + 0xD1FF)
        self.register_buffer("channels", channels, persistent=False)
        self.register_buffer("articulated", _ARTICULATED.clone(), persistent=False)
        # What idle motion adds the pose to; a mask, for assigning to parts is slow once exported.
        place = torch.arange(MOTION_DIM)
        self.mouth: Tensor
        self.unposed: Tensor
        self.register_buffer("mouth", place < _MOUTH.stop, persistent=False)
        unposed = ((place < _POSE.start) | (place >= _POSE.stop)).float()
        self.register_buffer("unposed", unposed, persistent=False)

    @property
    def delay(self) -> int:
        return AHEAD

    def init_state(
        self, batch: int, device: torch.device | str = "cpu", seeds: Tensor | None = None
    ) -> DiffusionState:
        seeds = self._seeds(batch, device, seeds)
        key = seed_keys(seeds)
        return DiffusionState(
            voice=self.hearing.init_state(batch, device),
            network=self.network.init_state(batch, device),
            idle=self.idle.init_state(seeds),
            springs=self.latent.at_rest(batch, device),
            home=key,
            key=key.clone(),
            frame=torch.full_like(key, -AHEAD),
            cut=torch.full((batch,), _LONG_AGO, device=device),
            style=torch.zeros(batch, STYLE_DIM, device=device),
            readout=torch.zeros(batch, 2, RECENT * self.network.config.dim + 1, device=device),
            recent=torch.zeros(batch, RECENT - 1, self.network.config.dim, device=device),
        )

    def set_seed(self, state: DiffusionState, slots: Tensor, seeds: Tensor) -> None:
        keys = seed_keys(seeds.to(state.key.device))
        masked_write(state.home, keys, slots)
        masked_write(state.key, keys, slots)
        state.idle.set_seed(slots, seeds)

    def set_identity(self, state: DiffusionState, slot: int, identity: IdentityFeatures) -> None:
        own = OwnStyle.of(identity.arrays)
        state.style[slot] = 0.0
        state.readout[slot] = 0.0
        if own is None:
            return
        put(state.style[slot], torch.from_numpy(own.style.clip(-STYLE_LIMIT, STYLE_LIMIT)))
        if own.readout is not None and own.readout.shape == state.readout[slot].shape:
            put(state.readout[slot], torch.from_numpy(own.readout))

    def listen(self, state: DiffusionState, slots: Tensor) -> None:
        state.voice.listen(slots)

    def step(
        self,
        features: Tensor,
        speech: Tensor,
        controls: Tensor,
        state: DiffusionState,
        active: Tensor,
    ) -> Tensor:
        rows = self.hearing.step(features, speech, state.voice, active)
        heard = self.network.hear(rows, state.network, active)[:, 0]
        parting, meeting = self._own(heard, state, active)
        shapes = self._shapes(heard, parting, controls, state)
        forces = self.network.draw(heard, self._noise(state), state.network, active)
        begun = (state.frame >= 0)[:, None]
        latent = torch.where(begun, torch.cat([shapes, forces], 1), self.latent.rest)
        moved, springs = self.latent.decode(latent[:, None], state.springs)
        meeting = torch.where(begun[:, 0], self.network.shutting(heard) + meeting, 0.0)
        generated: Tensor = self.lip_closure(moved[:, 0], meeting)
        share = _awake(generated, state.voice.gate) * _uncut(state)[:, None]
        face: Tensor = self.reach(generated, controls[:, EXPRESSION])
        face = face * torch.where(self.mouth, share, self.unposed)
        still = torch.zeros_like(controls[:, 0])
        idle = self.idle.step(
            behaviour(state.voice), still, controls, state.idle, active, generated[:, _POSE]
        )
        masked_write(state.springs, springs, active)
        masked_write(state.frame, state.frame + 1, active)
        anew = (state.cut > AHEAD) & (state.voice.gate >= 1.0)
        masked_write(state.cut, torch.where(anew, _LONG_AGO, state.cut + 1.0), active)
        return (idle + face).clamp(self.low, self.high)

    def behaviour(self, state: DiffusionState) -> Tensor:
        return behaviour(state.voice).to(torch.int8)

    def _own(self, heard: Tensor, state: DiffusionState, active: Tensor) -> tuple[Tensor, Tensor]:
        """The face's own read-out: what it adds to the parting of the lips and to the log odds that
        they meet, each [B]. Nothing without a voice: of other sounds nothing was learnt."""
        recent = torch.cat([state.recent, heard[:, None]], 1)
        own = (recent.flatten(1)[:, None] * state.readout[:, :, :-1]).sum(2)
        own = (own + state.readout[:, :, -1]) * state.voice.gate[:, None]
        masked_write(state.recent, recent[:, 1:], active)
        return own[:, 0], own[:, 1]

    def _shapes(
        self, heard: Tensor, parting: Tensor, controls: Tensor, state: DiffusionState
    ) -> Tensor:
        """Latents of mouth and eye rims, [B, 11]: of the style, lips parted by so much more [B]."""
        more = controls[:, ARTICULATION, None] - 1.0
        shapes = self.network.lips(heard[:, None], state.style + more * self.articulated)[:, 0]
        jaw = shapes[:, :1] + parting[:, None] * self.latent.jaw_per_parting
        return torch.cat([jaw, shapes[:, 1:]], 1).clamp(-1.0, 1.0)

    def _noise(self, state: DiffusionState) -> Tensor:
        """The noise of the frame, unit normal [B, 9] (Box and Muller 1958)."""
        counters = state.frame[:, None].expand(-1, 2 * _FORCES)
        radius, angle = uniform(state.key, self.channels, counters).chunk(2, 1)
        return (-2.0 * (1.0 - radius).log()).sqrt() * (angle * (2.0 * math.pi)).cos()


def _awake(generated: Tensor, gate: Tensor) -> Tensor:
    """Share of the mouth's motion to show, [B, 1]: all with a voice, no trembling without."""
    jaw = generated[:, MOTION_INDEX["jawOpen"]]
    wide = ((jaw - _SHUT_BELOW) / (_OPEN_ABOVE - _SHUT_BELOW)).clamp(0.0, 1.0)
    return torch.maximum(gate, wide)[:, None]


def _uncut(state: DiffusionState) -> Tensor:
    """Share of the mouth's motion to show, [B]: after a cut none, until a new voice is there.

    The network still holds the two frames of the sound that was forgotten.
    """
    closing = (1.0 - state.cut / _CUT_FRAMES).clamp(0.0, 1.0)
    return torch.where(state.cut < _LONG_AGO, closing, 1.0)
