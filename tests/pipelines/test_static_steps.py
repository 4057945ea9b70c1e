"""No step waits for the device, makes a tensor on the host, or lets a shape depend on values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from pipelines.anitalker.generated_codes import GeneratedCodes
from pipelines.anitalker.mapped_codes import MappedCodes
from pipelines.anitalker.published_codes import Audible, PublishedCodes
from pipelines.anitalker.weights import load_generator, load_map
from pipelines.audio.hubert import Hubert, HubertLayout, HubertStream, HubertStreamConfig
from pipelines.audio.mel import MelConfig
from pipelines.audio.mel_windows import MelWindows
from pipelines.motion.delayed import DelayedMotion
from pipelines.motion.diffusion import load_motion
from pipelines.motion.model import MotionModel
from pipelines.pipeline import HOP_SAMPLES
from pipelines.portrait.room import largest
from pipelines.portrait.tables import FaceTables
from pipelines.streaming import SlotState, masked_write
from tests.pipelines.test_anitalker_motion import PLAYING, SMALL, codes, generator
from tests.support.static_steps import check_step, faults_of

SLOTS = 3
ON = torch.ones(SLOTS, dtype=torch.bool)
X = torch.rand(SLOTS, 4)
ON_THE_HOST = torch.rand(4)
HOLDER = SimpleNamespace(table=torch.rand(4), scalar=torch.tensor(2.0), rows=torch.tensor([1, 0]))


@cache
def kept() -> Tensor:
    return torch.rand(4)


WRONG: dict[str, tuple[str, Callable[[], object]]] = {
    "item": ("reads a value", lambda: X.sum().item()),
    "tolist": ("reads a value", lambda: X.tolist()),
    "numpy": ("reads a value", lambda: X.numpy()),
    "if": ("reads a value", lambda: 1 if ON.all() else 0),
    "int": ("reads a value", lambda: X[int(X.sum())]),
    "index": ("reads a value", lambda: [*range(ON.sum())]),
    "inverse": ("reads a value", lambda: torch.linalg.inv(X[:, :3])),
    "nonzero": ("makes a shape", lambda: ON.nonzero()),
    "where": ("makes a shape", lambda: torch.where(ON)),
    "masked_select": ("makes a shape", lambda: X.masked_select(ON[:, None])),
    "unique": ("makes a shape", lambda: X.unique()),
    "mask": ("makes a shape", lambda: X[ON]),
    "mask assigned": ("makes a shape", lambda: X.clone().__setitem__(ON, X)),
    "repeats": ("makes a shape", lambda: X.repeat_interleave(ON.long(), 0)),
    "cpu": ("copies between", lambda: X.cpu()),
    "to": ("copies between", lambda: X.to("cpu")),
    "tensor": ("makes a tensor on the host", lambda: X * torch.tensor([1.0, 2.0, 3.0, 4.0])),
    "new_tensor": ("makes a tensor on the host", lambda: X * X.new_tensor([1.0])),
    "from_numpy": ("makes a tensor on the host", lambda: X * torch.from_numpy(np.ones(4))),
    "arange": ("makes a tensor on the host", lambda: X * torch.arange(4)),
    "list": ("makes a tensor on the host", lambda: X[:, [0, 2]]),
    "tuple": ("makes a tensor on the host", lambda: X[:, None, (0, 2)]),
    "constant": ("lies on the host", lambda: X * ON_THE_HOST),
    "print": ("reads a value", lambda: str(X)),
    "words": ("reads a value", lambda: f"{X.sum()}"),
    "singular values": ("reads a value", lambda: torch.linalg.svdvals(X[:, :3])),
    "pseudo-inverse": ("reads a value", lambda: torch.linalg.pinv(X[:, :3])),
}
HELD: dict[str, tuple[str, Callable[[], object]]] = {
    "an object's": ("lies on the host", lambda: X * HOLDER.table),
    "an object's number": ("lies on the host", lambda: X * HOLDER.scalar),
    "an object's rows": ("lies on the host", lambda: X[HOLDER.rows]),
    "written": ("lies on the host", lambda: X.clone().copy_(HOLDER.table)),
    "kept": ("lies on the host", lambda: X * kept()),
    "a device": ("copies between", lambda: X.to(torch.device("cpu"))),
}
"""What nobody sees but where a step was built on another device than the host's."""


@pytest.mark.parametrize(
    ("name", "device"),
    [*((name, "cpu") for name in WRONG), *((name, "meta") for name in HELD)],
)
def test_what_cannot_be_captured_is_named_with_its_line(name: str, device: str) -> None:
    why, step = (WRONG | HELD)[name]
    kept()  # before the step, which makes nothing
    # What lies in this module stands for what lies on the device, but for what says otherwise.
    inside = {"X": X.clone().to(device), "ON": ON.clone().to(device)}
    made = type(step)(step.__code__, {**globals(), **inside})  # type: ignore[attr-defined]
    found = faults_of(made, device=device)
    assert any(why in fault.why and "test_static_steps.py:" in fault.line for fault in found)
    with pytest.raises(AssertionError, match=r"not to be captured:\n.*test_static_steps\.py:\d+"):
        check_step(made, device=device)


@pytest.mark.parametrize("name", WRONG)
def test_it_does_not_pass_where_there_are_no_values_either(name: str) -> None:
    step = WRONG[name][1]
    inside = {"X": X.to("meta"), "ON": ON.to("meta")}
    made = type(step)(step.__code__, {**globals(), **inside})  # type: ignore[attr-defined]
    with pytest.raises(AssertionError, match=r"not to be captured|could not be walked"):
        check_step(made, device="meta")


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_what_can_be_captured_passes(device: str) -> None:
    held = torch.zeros(SLOTS, 4, device=device)
    active = torch.ones(SLOTS, dtype=torch.bool, device=device)
    rows = torch.zeros(2, dtype=torch.int64, device=device)

    def step(x: Tensor) -> Tensor:
        made = x[rows] + torch.arange(4, device=x.device)
        part = torch.where(active[:, None], x, 0.0).clone()
        part[:, 0] = 0.0
        masked_write(held, part.to(held.device), active)
        return made[:, 1:].clamp(0.0, 1.0)

    check_step(step, torch.rand(SLOTS, 4, device=device), device=device)
    assert device == "meta" or not held.any()  # nothing was computed


def test_a_step_that_fails_says_so() -> None:
    with pytest.raises(AssertionError, match="could not be walked"):
        check_step(lambda: torch.zeros(2, device="cpu") + torch.zeros(3, device="cpu"))


def _portrait() -> MotionModel:
    return load_motion()


def _late() -> MotionModel:
    return DelayedMotion(load_motion(), 2)


def _mapped() -> MotionModel:
    return MappedCodes(load_motion(), load_map("anitalker-motion"))


def _generated() -> MotionModel:
    return GeneratedCodes(MelConfig(), load_generator("anitalker-generator"))


def _published() -> MotionModel:
    return codes(PLAYING, SMALL)


def _posed() -> MotionModel:
    return codes(replace(PLAYING, pose=True), SMALL)


def _by_hubert() -> MotionModel:
    pytest.importorskip("transformers", reason="HuBERT needs vivavoce[hubert]")
    layout = HubertLayout(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16,
        conv_dim=(8,) * 7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    config = replace(
        SMALL, features="hubert", audio_dim=16, audio_layers=3, down=(16,), speech_blocks=1
    )
    heard = HubertStream(Hubert(layout), HubertStreamConfig(window=8, ahead=1))
    return PublishedCodes(generator(config), Audible(heard), PLAYING)


@pytest.mark.parametrize(
    "make", [_portrait, _late, _mapped, _generated, _published, _posed, _by_hubert]
)
def test_features_and_motion_can_be_captured(make: Callable[[], MotionModel]) -> None:
    motion = make().requires_grad_(False)
    features = motion.features()
    heard: SlotState = features.init_state(SLOTS)
    state: SlotState = motion.init_state(SLOTS)

    def step(hops: Tensor, speech: Tensor, controls: Tensor, active: Tensor) -> Tensor:
        rows = features.step(hops, heard, active)
        moved = motion.step(rows, speech, controls, state, active)
        motion.behaviour(state)
        return moved

    hops, controls = torch.zeros(SLOTS, HOP_SAMPLES), torch.ones(SLOTS, 5)
    with torch.no_grad():
        step(hops, ON, controls, ON)  # as before a capture: what is kept ever after is made
    check_step(step, hops, ON.clone(), controls, ON.clone())
    check_step(heard.clear, ON.clone())
    check_step(state.clear, ON.clone())
    check_step(state.reset, ON.clone())
    check_step(motion.listen, state, ON.clone())


def test_a_face_in_a_shape_of_its_own_is_given_to_a_slot_without_waiting() -> None:
    """By the thread that steps, which a copy from the host would hold up."""
    tables = FaceTables(SLOTS, (), torch.device("meta"))
    for slot in (2, 0):
        faces = {(640, 400): largest((64, 64))}  # without values
        check_step(tables.write, slot, faces, device="meta")
    _, rows = tables.of((640, 400))
    assert (rows.shape, rows.device.type) == ((SLOTS,), "meta")


def test_the_ear_of_wav2lip_can_be_captured() -> None:
    ear = MelWindows(lead=1)
    state = ear.init_state(SLOTS)
    check_step(ear.step, torch.zeros(SLOTS, HOP_SAMPLES), state, ON.clone())
