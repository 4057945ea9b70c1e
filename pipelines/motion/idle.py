"""What a face does beside speaking: blinks, gaze, head motion, nods, breath.

Ranges follow measurements of people talking to a camera (head sd 2-4 degrees in yaw and about 2 in
pitch and roll, 20-30 blinks a minute of 120-180 ms, eyes mostly on the viewer); a silent person
moves less. All of it is drawn by counter-based noise (`pipelines.noise`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pipelines.motion.controls import BLINK_RATE
from pipelines.motion.space import MOTION_DIM, MOTION_INDEX
from pipelines.noise import mix, seed_keys, spline, spline_tables, uniform
from pipelines.pipeline import FPS
from pipelines.streaming import SlotState, masked_fill, masked_write

FRAME_S = 1 / FPS
IDLE, LISTENING, SPEAKING = 0, 1, 2

# Slow motion as layers of smooth noise: (what, frames between lattice points, sd silent, talking).
# Head angles in degrees, positions in interocular distances, the rest in blendshape weight.
_DRIFT: tuple[tuple[str, int, float, float], ...] = (
    ("headYaw", 83, 1.10, 2.30),
    ("headYaw", 23, 0.45, 2.10),
    ("headYaw", 9, 0.10, 1.10),
    ("headPitch", 97, 0.70, 1.20),
    ("headPitch", 26, 0.30, 1.40),
    ("headPitch", 8, 0.08, 0.85),
    ("headRoll", 107, 0.85, 1.60),
    ("headRoll", 31, 0.30, 1.40),
    ("headRoll", 11, 0.07, 0.75),
    ("headX", 71, 0.010, 0.018),
    ("headX", 23, 0.003, 0.010),
    ("headY", 61, 0.004, 0.008),
    ("headZ", 101, 0.006, 0.015),
    ("smile", 131, 0.030, 0.040),
    ("squint", 113, 0.040, 0.040),
)
_DRIFTS = tuple(dict.fromkeys(name for name, _, _, _ in _DRIFT))  # pose first
_DRAWS = ("blink", "blink_length", "double", "saccade", "where", "yaw", "pitch", "nod", "brow")

_BLINKS_PER_MIN = (13.0, 12.0, 22.0)  # idle, listening, speaking; gaze shifts and doubles add
_DOUBLE = 0.10  # share of blinks followed by another
_REFRACTORY = 10.0  # frames from the start of a blink until another may start
_GAZE_BLINK_DEG = 6.0  # a larger gaze shift often comes with a blink
_GAZE_BLINK = 0.35
_SACCADES_PER_S = 1.1  # at the viewer: mostly micro-saccades
_RETURNS_PER_S = 1.4  # looking away: how soon the eyes come back
_AVERSION = (0.10, 0.06, 0.13)  # share of saccades that leave the viewer, by behaviour
_GLANCE = ((8.0, 4.5), (4.0, 0.0), (0.0, -0.5))  # away: degrees at random, at least, always
_SETTLE = (0.9, 0.6)  # degrees of yaw and pitch around the viewer
_COUNTER_ROLL = 0.65  # share of head rotation that the eyes take back
_NODS_PER_MIN = 4.0  # while listening
_NOD_FRAMES, _NOD_CYCLES, _NOD_DEG = 30.0, 2.0, 1.7
_BREATH_FRAMES, _BREATH = 103, 0.006  # about 15 a minute; interocular distances
_SPRING, _DAMPING = 9.0, 0.75  # of stress nods: rad/s, ratio
_KICK = 32.0  # degrees per second that a full stress sets the head in motion by
# Of the drift, under a head that another model moves: what is drawn frame by frame has too little
# slow motion. Without it FaceMesh read sd of 1.3, 1.7, 0.9 degrees in two minutes of talk, with 0.8
# of all of it 1.7, 1.8, 1.9; of yaw less, for a head that sways wide draws the eye from the lips.
_SLOW_SHARE = (0.7, 0.8, 0.8, 0.8, 0.8, 0.8)  # yaw, pitch, roll, x, y, z
_LIMITS = (12.0, 8.0, 8.0)  # degrees of yaw, pitch, roll that renderers support

_REST = {"blink_age": 99.0, "blink_length": 5.0, "nod_age": 99.0}
_FIELDS = (
    "blink_age",  # frames since the last blink began
    "blink_length",  # frames from its start to fully open
    "double",  # 1 when another follows
    "nod_age",  # frames since the last listening nod began
    "stress",  # displacement of the stress nod, degrees
    "stress_speed",
    "brow",
    "talk",  # 0 silent, 1 talking, eased
)
_OUTPUTS = (
    "headYaw", "headPitch", "headRoll", "headX", "headY", "headZ", "gazeYaw", "gazePitch",
    "blink", "brow", "smile", "squint",
)  # fmt: skip


@dataclass
class IdleState(SlotState):
    home: Tensor  # [B] int64: the key a reset returns to
    key: Tensor  # [B] int64: what the noise is keyed by
    frame: Tensor  # [B] int64: frames since the stream began
    gaze: Tensor  # [B, 2, 2]: where the eyes aim and where they are; yaw, pitch in degrees
    values: Tensor  # [B, len(_FIELDS)] float32

    def reset(self, slots: Tensor) -> None:
        masked_write(self.key, self.home, slots)
        masked_fill(self.frame, 0, slots)
        masked_fill(self.gaze, 0, slots)
        masked_write(self.values, _rest(self.values), slots)

    def set_seed(self, slots: Tensor, seeds: Tensor) -> None:
        """Key the slots in `slots` (bool [B]) by `seeds` (int64 [B]), resets included."""
        keys = seed_keys(seeds.to(self.key.device))
        masked_write(self.home, keys, slots)
        masked_write(self.key, keys, slots)


class IdleMotion(nn.Module):
    """One frame of involuntary motion per step, a function of seed, frame and behaviour."""

    def __init__(self) -> None:
        super().__init__()
        lattice = len(_DRIFT) * 4
        periods = [period for _, period, _, _ in _DRIFT for _ in range(4)] + [1] * len(_DRAWS)
        offsets = [0, 1, 2, 3] * len(_DRIFT) + [0] * len(_DRAWS)
        channel = [i // 4 for i in range(lattice)] + [1000 + i for i in range(len(_DRAWS))]
        silent, talking = torch.zeros(2, len(_DRIFT), len(_DRIFTS))
        for i, (name, _, idle_sd, talk_sd) in enumerate(_DRIFT):
            silent[i, _DRIFTS.index(name)] = idle_sd
            talking[i, _DRIFTS.index(name)] = talk_sd
        powers, basis = spline_tables("cpu")
        for name, table in {
            "periods": torch.tensor(periods),
            "offsets": torch.tensor(offsets),
            "channels": mix(torch.tensor(channel) + 0x5EED),
            "silent": silent,
            "extra": talking - silent,
            "blinks": torch.tensor(_BLINKS_PER_MIN) / 60.0 * FRAME_S,
            "aversion": torch.tensor(_AVERSION),
            "limits": torch.tensor(_LIMITS),
            "slow_share": torch.tensor(_SLOW_SHARE),
            "glance": torch.tensor(_GLANCE),
            "settle": torch.tensor(_SETTLE),
            "powers": powers,
            "basis": basis,
            "mixing": _mixing(),
        }.items():
            self.register_buffer(name, table, persistent=False)
        self.periods: Tensor
        self.offsets: Tensor
        self.channels: Tensor
        self.silent: Tensor
        self.extra: Tensor
        self.blinks: Tensor
        self.aversion: Tensor
        self.limits: Tensor
        self.slow_share: Tensor
        self.glance: Tensor
        self.settle: Tensor
        self.powers: Tensor
        self.basis: Tensor
        self.mixing: Tensor

    def init_state(self, seeds: Tensor) -> IdleState:
        """seeds int64 [B], on the module's device."""
        key = seed_keys(seeds)
        rest = _rest(torch.empty(len(seeds), len(_FIELDS), device=seeds.device))
        gaze = torch.zeros(len(seeds), 2, 2, device=seeds.device)
        return IdleState(key, key.clone(), torch.zeros_like(key), gaze, rest)

    def step(
        self, behaviour: Tensor, stress: Tensor, controls: Tensor, state: IdleState,
        active: Tensor, head: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Advance one frame; returns motion [B, MOTION_DIM] with the mouth at rest.

        behaviour int64 [B] (IDLE, LISTENING, SPEAKING), stress float32 [B] in [0, 1] (a syllable
        just stressed), controls float32 [B, 5]. head: float32 [B, 6], where another model moves
        the head, in the order and units of the motion space; slow drift is added to it, brows and
        mood are the other model's.
        """
        held = dict(zip(_FIELDS, state.values.unbind(1), strict=True))
        expression, head_motion, gaze, blinking = controls[:, : BLINK_RATE + 1].unbind(1)
        drift, draw = self._noise(state, held["talk"])
        speaking = (behaviour == SPEAKING).float()
        new = {"talk": torch.lerp(held["talk"], speaking, 0.06)}
        aim, eyes = self._look(behaviour, draw, state.gaze)
        shift = (aim - state.gaze[:, 0])[:, 0].abs() * gaze
        blink = self._blink(behaviour, blinking, shift, draw, held, new)
        nod = _nod(behaviour, stress, draw, held, new)
        breath = (state.frame % _BREATH_FRAMES) * (2.0 * math.pi / _BREATH_FRAMES)
        none = torch.zeros_like(nod)
        upon = torch.stack([none, nod, none, none, breath.sin() * _BREATH, none], 1)
        own = head is None
        moved = drift[:, :6] if head is None else head + self.slow_share * drift[:, :6]
        pose = (moved + upon) * head_motion[:, None]
        # Bent smoothly, so that it stays within the limits.
        angles = torch.tanh(pose[:, :3] / self.limits) * self.limits
        eyes_in_head = (eyes - _COUNTER_ROLL * angles[:, :2]) * gaze[:, None]
        face = torch.stack([blink, new["brow"] * expression * own], 1)
        mood = drift[:, 6:].clamp_min(0.0) * torch.stack([expression, torch.ones_like(none)], 1)
        masked_write(state.frame, state.frame + 1, active)
        masked_write(state.gaze, torch.stack([aim, eyes], 1), active)
        masked_write(state.values, torch.stack([new[f] for f in _FIELDS], 1), active)
        outputs = torch.cat([angles, pose[:, 3:], eyes_in_head, face, mood * own], 1)
        return outputs @ self.mixing

    def _noise(self, state: IdleState, talk: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """This frame's smooth noise [B, len(_DRIFTS)], and its single draws by name, each [B]."""
        counters = state.frame[:, None] // self.periods + self.offsets
        draws = uniform(state.key, self.channels, counters)
        lattice = len(_DRIFT) * 4
        period = self.periods[:lattice:4]
        fraction = (state.frame[:, None] % period) / period
        noise = spline(
            draws[:, :lattice].reshape(draws.shape[0], -1, 4), fraction, self.powers, self.basis
        )
        drift = noise @ self.silent + talk[:, None] * (noise @ self.extra)
        single = dict(zip(_DRAWS, draws[:, lattice:].unbind(1), strict=True))
        return drift, single

    def _look(
        self, behaviour: Tensor, draw: dict[str, Tensor], gaze: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Saccades: where the eyes aim and where they are, [B, 2] each, in degrees."""
        aim, eyes = gaze.unbind(1)
        away = aim.abs().sum(1) > 2.5
        rate = torch.where(away, _RETURNS_PER_S * FRAME_S, _SACCADES_PER_S * FRAME_S)
        jump = draw["saccade"] < rate
        avert = (draw["where"] < self.aversion.gather(0, behaviour)) & ~away
        side = torch.stack([draw["yaw"], draw["pitch"]], 1) * 2.0 - 1.0
        glance = side * self.glance[0] + side.sign() * self.glance[1] + self.glance[2]
        target = torch.where(avert[:, None], glance, side * self.settle)
        aim = torch.where(jump[:, None], target, aim)
        # A saccade takes 30-60 ms: most of the way within one frame.
        return aim, torch.lerp(eyes, aim, 0.75)

    def _blink(
        self, behaviour: Tensor, rate: Tensor, shift: Tensor, draw: dict[str, Tensor],
        held: dict[str, Tensor], new: dict[str, Tensor],
    ) -> Tensor:  # fmt: skip
        """Returns how far the lids are closed, [0, 1]."""
        age = held["blink_age"] + 1.0
        hazard = self.blinks.gather(0, behaviour) + _GAZE_BLINK * (shift > _GAZE_BLINK_DEG)
        again = held["double"] * (age == 7.0)
        start = (draw["blink"] < hazard * rate) & (age >= _REFRACTORY) | (again * rate > 0.0)
        length = 4.6 + 1.8 * draw["blink_length"]
        new["blink_age"] = torch.where(start, 0.0, age.clamp_max(99.0))
        new["blink_length"] = torch.where(start, length, held["blink_length"])
        double = (draw["double"] < _DOUBLE).float()
        new["double"] = torch.where(start, double * (1.0 - again), held["double"])
        closing = (new["blink_age"] + 0.7) / 1.7
        opening = (new["blink_length"] - new["blink_age"]) / 2.2
        return torch.minimum(closing, opening).clamp(0.0, 1.0)


def _nod(
    behaviour: Tensor, stress: Tensor, draw: dict[str, Tensor], held: dict[str, Tensor],
    new: dict[str, Tensor],
) -> Tensor:  # fmt: skip
    """Stress nods on a spring, brow raises, listening nods; returns pitch in degrees."""
    pull = -(_SPRING**2) * held["stress"] - 2.0 * _DAMPING * _SPRING * held["stress_speed"]
    kick = stress * (0.4 + draw["nod"])
    new["stress_speed"] = held["stress_speed"] + pull * FRAME_S - _KICK * kick
    new["stress"] = held["stress"] + new["stress_speed"] * FRAME_S
    raised = stress * (draw["brow"] < 0.4)
    new["brow"] = held["brow"] * 0.86 + 0.16 * raised
    age = held["nod_age"] + 1.0
    begin = (draw["nod"] < _NODS_PER_MIN / 60.0 * FRAME_S) & (behaviour == LISTENING)
    new["nod_age"] = torch.where(begin & (age > _NOD_FRAMES), 0.0, age.clamp_max(99.0))
    phase = (new["nod_age"] / _NOD_FRAMES).clamp_max(1.0)
    swing = torch.sin(phase * (2.0 * math.pi * _NOD_CYCLES)) * torch.sin(phase * math.pi)
    return new["stress"] - _NOD_DEG * swing


def _rest(like: Tensor) -> Tensor:
    rest = torch.zeros_like(like)
    for name, value in _REST.items():
        rest[:, _FIELDS.index(name)] = value
    return rest


def _mixing() -> Tensor:
    """[len(_OUTPUTS), MOTION_DIM]: what each output moves."""
    table = torch.zeros(len(_OUTPUTS), MOTION_DIM)
    parts = {name: {name: 1.0} for name in _OUTPUTS if name in MOTION_INDEX}
    parts["blink"] = {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}
    parts["brow"] = {"browInnerUp": 0.8, "browOuterUpLeft": 1.0, "browOuterUpRight": 1.0}
    parts["smile"] = {"mouthSmileLeft": 1.0, "mouthSmileRight": 1.0}
    parts["squint"] = {"eyeSquintLeft": 1.0, "eyeSquintRight": 1.0}
    for row, name in enumerate(_OUTPUTS):
        for target, weight in parts[name].items():
            table[row, MOTION_INDEX[target]] = weight
    return table
