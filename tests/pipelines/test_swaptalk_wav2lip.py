"""Wav2Lip over a template: where it draws, what it hears, and that motion waits for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from pipelines.audio.mel_windows import SILENCE, MelWindows
from pipelines.batch import Batch
from pipelines.clip import play
from pipelines.motion.controls import control_row
from pipelines.motion.delayed import DelayedMotion
from pipelines.motion.diffusion import load_motion
from pipelines.motion.space import MOTION_DIM, PORTRAIT_WEIGHTS
from pipelines.pipeline import HOP_SAMPLES, Material, QuietProgress
from pipelines.swaptalk.render import SwapTalkRenderer
from pipelines.swaptalk.system import SYSTEM
from pipelines.swaptalk.wav2lip.expert import LipSyncExpert
from pipelines.swaptalk.wav2lip.faces import Wav2LipFaces
from pipelines.swaptalk.wav2lip.generator import CROP, Wav2Lip
from pipelines.weights import CheckpointError
from tests.support.videos import drawn_clip, write_clip

SIDE = Wav2LipFaces.side


def _faces(seed: int = 0) -> Wav2LipFaces:
    torch.manual_seed(seed)
    return Wav2LipFaces(Wav2Lip(2).eval().requires_grad_(False))


def _flat(colour: tuple[float, float, float]) -> Tensor:
    return torch.tensor(colour).view(1, 3, 1, 1).expand(1, 3, SIDE, SIDE)


class Dyed(Wav2Lip):
    """Gives the colour of what it is shown, a third lighter in blue."""

    def __init__(self) -> None:
        super().__init__(2)
        self.shown: list[Tensor] = []

    def forward(self, mel: Tensor, face: Tensor) -> Tensor:
        self.shown += [mel, face]
        made = face[:, 3:].clone()
        made[:, 0] += 1.0 / 3.0
        return made


def test_the_lower_half_of_the_crop_is_drawn_and_fades_into_the_frame() -> None:
    network = Dyed()
    faces = Wav2LipFaces(network)
    square = _flat((0.2, -0.2, -0.6))
    rows = faces.prepare(square, square)
    heard = torch.zeros(1, 1, 80, 16)
    drawn = faces.draw(rows, heard, torch.full((1,), -1))
    assert drawn.lower.shape == (1, 3, SIDE // 2, SIDE)
    red, green, blue = drawn.lower[0]
    own = [round(value * 127.5 + 127.5) / 255.0 for value in (0.2, -0.2, -0.6)]
    torch.testing.assert_close(red, torch.full_like(red, own[0]))
    torch.testing.assert_close(green, torch.full_like(green, own[1]))
    more = (blue - own[2]) * 3.0
    assert float(more[: SIDE // 4, SIDE // 4 : -SIDE // 4].min()) == pytest.approx(1.0, abs=1e-5)
    assert float(more[-4:].abs().max()) == 0.0
    assert float(more[:, :8].abs().max()) == float(more[:, -8:].abs().max()) == 0.0
    assert float(more.diff(dim=1).abs().max()) < 0.4  # no edge
    mel, face = network.shown
    assert torch.equal(mel, torch.full_like(mel, SILENCE))
    assert face.shape == (1, 6, CROP, CROP)
    assert float(face[0, :3, CROP // 2 :].abs().max()) == 0.0
    torch.testing.assert_close(face[0, :, 0, 0], torch.tensor([*own[::-1]] * 2))  # blue first


def test_nothing_of_the_template_is_kept_but_its_square() -> None:
    faces = _faces()
    squares = torch.rand(2, 3, SIDE, SIDE) * 2.0 - 1.0
    rows = faces.prepare(faces.encode(squares), squares[:1])
    assert {name: (held.dtype, len(held)) for name, held in rows.items()} == {
        "square": (torch.uint8, 2)
    }
    torch.testing.assert_close(faces.whole(squares), squares * 0.5 + 0.5)
    with pytest.raises(ValueError, match="cannot put in another face"):
        faces.swap(squares[:1], squares)


def test_it_hears_the_windows_of_the_frame_that_leaves() -> None:
    """In two slots that begin at different times; after an interruption silence."""
    faces = _faces()
    renderer = SwapTalkRenderer(faces, 2, [(64, 64)])
    batch = Batch.of(2, ((64, 64),), MOTION_DIM)
    torch.manual_seed(0)
    sound = 0.3 * torch.randn(2, 12 * HOP_SAMPLES)
    wanted = MelWindows(1)(sound)
    late = MelWindows(1).look_ahead // HOP_SAMPLES
    with torch.inference_mode():
        state = renderer.init_state(2)
        for hop in range(12):
            active = torch.tensor([True, hop >= 3])
            for slot, begun in enumerate((0, 3)):
                at = max(hop - begun, 0) * HOP_SAMPLES
                batch.hops[slot] = sound[slot, at : at + HOP_SAMPLES].numpy()
            renderer.step(torch.ones(2, MOTION_DIM), state, active, [], batch)
            for slot, begun in enumerate((0, 3)):
                frame = hop - begun - late
                heard = state.heard[slot, 0] + SILENCE
                if frame >= 0:
                    torch.testing.assert_close(heard, wanted[slot, frame])
                else:
                    assert bool((heard == SILENCE).all())
        state.clear(torch.tensor([True, False]))
        batch.hops[:] = 0.0
        renderer.step(torch.ones(2, MOTION_DIM), state, torch.tensor([True, True]), [], batch)
        assert bool((state.heard[0] == 0.0).all())
        assert not bool((state.heard[1] == 0.0).all())
        state.reset(torch.tensor([True, True]))
        for held in (state.heard, state.position, state.codes + 1):
            assert not held.any()


def test_motion_waits() -> None:
    """Delayed it is the same, two hops later, whatever the other slot does."""
    model = load_motion(PORTRAIT_WEIGHTS)
    delayed = DelayedMotion(model, 2)
    assert delayed.look_ahead == model.look_ahead + 2 * HOP_SAMPLES
    torch.manual_seed(0)
    sound = 0.2 * torch.randn(2, 8 * HOP_SAMPLES)
    speech, controls = torch.ones(2, dtype=torch.bool), control_row().repeat(2, 1)
    made: dict[str, list[Tensor]] = {}
    with torch.inference_mode():
        for name, each in (("model", model), ("delayed", delayed)):
            features, state = each.features(), each.init_state(2)
            hearing = features.init_state(2)
            made[name] = []
            for hop in sound.split(HOP_SAMPLES, 1):
                n = len(made[name])
                active = torch.tensor([True, n != 4])
                heard = features.step(hop, hearing, active)
                made[name].append(each.step(heard, speech, controls, state, active).clone())
        ours, later = (torch.stack(made[name]) for name in ("model", "delayed"))
        assert float(ours[:, 0].std()) > 0.0
        assert not later[:2].any()
        torch.testing.assert_close(later[2:, 0], ours[:-2, 0])
        running = [0, 1, 2, 3, 5, 6, 7]
        torch.testing.assert_close(later[running][2:, 1], ours[running][:-2, 1])
        following = state.held[0, 0].clone()
        state.clear(torch.tensor([True, False]))
        assert bool((state.held[0] == following).all())
        state.reset(torch.tensor([True, True]))
        assert not state.held.any()
    with pytest.raises(ValueError, match="one hop or more"):
        DelayedMotion(model, 0)


def _listening() -> Wav2Lip:
    """Untrained, of weights so large that what it hears is seen."""
    torch.manual_seed(2)
    network = Wav2Lip(4)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight)
    return network


@pytest.fixture
def weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("VIVAVOCE_WEIGHTS", str(tmp_path))
    save_file(_listening().state_dict(), tmp_path / "mine.safetensors", {"kind": "wav2lip"})
    save_file(LipSyncExpert(2).state_dict(), tmp_path / "expert.safetensors", {"kind": "wav2lip"})
    return tmp_path


def test_the_system_draws_by_the_weights_that_are_named(weights: Path) -> None:
    options = SYSTEM.Options(wav2lip_weights="mine")
    assert SYSTEM.missing(options) == ""
    pipeline = SYSTEM.build(1, options, "cpu")
    assert pipeline.look_ahead == MelWindows(1).look_ahead
    photo = weights / "photo"
    photo.write_bytes(b"a photo")
    key = SYSTEM.key(Material(photo=photo), options)
    save_file(Wav2Lip(2).state_dict(), weights / "mine.safetensors", {"kind": "wav2lip"})
    assert SYSTEM.key(Material(photo=photo), options) != key


def test_what_cannot_be_is_refused_in_words(weights: Path) -> None:
    absent = SYSTEM.Options(wav2lip_weights="none-such")
    with pytest.raises(ValueError, match=r"not installed: none-such\. Import the generator"):
        SYSTEM.build(1, absent, "cpu")
    photo = weights / "photo"
    photo.write_bytes(b"a photo")
    with pytest.raises(ValueError, match="puts no other face in: leave out the source"):
        SYSTEM.key(Material(photo=photo, source=photo), SYSTEM.Options(wav2lip_weights="mine"))
    with pytest.raises(CheckpointError, match="expert: "):
        SYSTEM.build(1, SYSTEM.Options(wav2lip_weights="expert"), "cpu")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_it_speaks_over_a_template_and_leaves_the_upper_face_alone(weights: Path) -> None:
    pytest.importorskip("mediapipe")
    size = (256, 256)
    video = write_clip(weights / "clip.mp4", drawn_clip().pictures, drawn_clip().sound)
    options = SYSTEM.Options(wav2lip_weights="mine")
    (weights / "enrolment").mkdir()
    found = SYSTEM.enrol(Material(video=video), options, QuietProgress(weights / "enrolment"))
    pipeline = SYSTEM.build(1, options, "cpu")
    pipeline.set_identity(0, found, size)
    sound = np.random.default_rng(0).normal(0.0, 0.2, 14 * HOP_SAMPLES).astype(np.float32)
    spoken, silent = (
        [shown.picture.copy() for shown in play(pipeline, samples, size)]
        for samples in (sound, np.zeros_like(sound))
    )
    assert len(spoken) == 14
    last = np.abs(spoken[-1][:256].astype(int) - silent[-1][:256])
    rows = np.flatnonzero(last.max(1))
    assert len(rows) > 20
    assert rows.min() > 100  # below the eyes
