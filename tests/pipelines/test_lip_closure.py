import itertools

import torch

from pipelines.motion.lip_closure import LipClosure, parting_weights
from pipelines.motion.space import MOTION_DIM, MOTION_INDEX

meeting = LipClosure()


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
        assert torch.equal(meeting(motion), motion)


def test_lips_that_are_near_meet_and_the_jaw_stays() -> None:
    motion = _face(jawOpen=0.15, mouthClose=0.13, mouthLowerDownLeft=0.05, headPitch=3.0)
    met = meeting(motion)
    assert _parting(met) < 1e-6
    assert met[0, MOTION_INDEX["jawOpen"]] == motion[0, MOTION_INDEX["jawOpen"]]
    assert met[0, MOTION_INDEX["headPitch"]] == 3.0


def test_a_wider_parting_stays_wider() -> None:
    partings = [
        _parting(meeting(_face(jawOpen=jaw))) for jaw in torch.linspace(0, 0.2, 41).tolist()
    ]
    assert all(a <= b + 1e-6 for a, b in itertools.pairwise(partings))


def test_rest_and_pressed_lips_are_unchanged() -> None:
    pressed = _face(mouthPressLeft=0.3, mouthPressRight=0.3, mouthRollLower=0.4)
    assert torch.equal(meeting(pressed), pressed)


def test_its_numbers_are_where_the_model_is() -> None:
    """A step must not copy them to the device anew."""
    meta = torch.zeros(1, MOTION_DIM, device="meta")
    assert LipClosure().to("meta")(meta).device.type == "meta"
