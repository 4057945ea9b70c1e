import itertools

import torch

from pipelines.motion.lip_closure import LipClosure, parting_weights
from pipelines.motion.space import MOTION_DIM, MOTION_INDEX

closure = LipClosure()
APART, SURE = torch.tensor([-6.0]), torch.tensor([6.0])  # log odds that lips meet


def _face(**shapes: float) -> torch.Tensor:
    motion = torch.zeros(1, MOTION_DIM)
    for name, value in shapes.items():
        motion[0, MOTION_INDEX[name]] = value
    return motion


def _parting(motion: torch.Tensor) -> float:
    return float((motion @ parting_weights()).item())


def test_an_open_mouth_is_left_alone() -> None:
    for jaw in (0.2, 0.5):
        motion = _face(jawOpen=jaw, mouthFunnel=0.3, headYaw=10.0, eyeBlinkLeft=1.0)
        assert torch.equal(closure(motion, APART), motion)


def test_lips_that_are_likely_to_meet_do_and_the_jaw_stays() -> None:
    motion = _face(jawOpen=0.3, mouthFunnel=0.2, mouthLowerDownLeft=0.05, headPitch=3.0)
    met = closure(motion, SURE)
    assert _parting(met) < 1e-6
    assert met[0, MOTION_INDEX["jawOpen"]] == motion[0, MOTION_INDEX["jawOpen"]]
    assert met[0, MOTION_INDEX["headPitch"]] == 3.0


def test_the_likelier_they_meet_the_less_they_part() -> None:
    motion = _face(jawOpen=0.3)
    odds = torch.linspace(-3.0, 3.0, 41)
    partings = [_parting(closure(motion, at[None])) for at in odds]
    assert all(a >= b - 1e-6 for a, b in itertools.pairwise(partings))
    assert partings[0] == _parting(motion)
    assert partings[20] < 1e-6, "even odds"


def test_a_wider_parting_stays_wider_and_one_too_small_to_see_is_none() -> None:
    partings = [
        _parting(closure(_face(jawOpen=jaw), APART)) for jaw in torch.linspace(0, 0.2, 41).tolist()
    ]
    assert all(a <= b + 1e-6 for a, b in itertools.pairwise(partings))
    assert partings[1] < 0.5 * 0.005


def test_rest_and_pressed_lips_are_unchanged() -> None:
    pressed = _face(mouthPressLeft=0.3, mouthPressRight=0.3, mouthRollLower=0.4)
    assert torch.equal(closure(pressed, APART), pressed)


def test_its_numbers_are_where_the_model_is() -> None:
    """A step must not copy them to the device anew."""
    meta = torch.zeros(1, MOTION_DIM, device="meta")
    assert LipClosure().to("meta")(meta, APART.to("meta")).device.type == "meta"
