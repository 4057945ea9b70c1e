"""Wav2Lip: imported from files laid out as published, equal to the published numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pipelines.checkpoints import Checkpoint
from pipelines.import_weights import import_checkpoint
from pipelines.swaptalk.wav2lip import import_published
from pipelines.swaptalk.wav2lip.blocks import fold_norms
from pipelines.swaptalk.wav2lip.discriminator import QualityDiscriminator
from pipelines.swaptalk.wav2lip.expert import LipSyncExpert, lower_halves, sync_loss
from pipelines.swaptalk.wav2lip.generator import Wav2Lip, face_input
from pipelines.swaptalk.wav2lip.weights import load_discriminator, load_expert, load_generator
from pipelines.weights import CheckpointError, describe_weights
from tests.support.fill import fill, fixture, keys_of, relative_error
from tests.support.imports import Code, complaint, cut, damage, write

TOLERANCE = 1e-5
NARROW = 4
NETWORKS = {
    "generator": ("wav2lip", Wav2Lip),
    "expert": ("lipsync_expert", LipSyncExpert),
    "discriminator": ("disc_qual", QualityDiscriminator),
}


@pytest.fixture(autouse=True)
def _folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VIVAVOCE_WEIGHTS", str(tmp_path / "user"))


@pytest.fixture(autouse=True)
def _inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of few channels, which are written in a moment."""
    monkeypatch.setattr(import_published, "PUBLISHED_WIDTH", NARROW)


def converted(variant: str) -> dict[str, Tensor]:
    """The filled network, from the published layout."""
    checkpoint = Checkpoint(Path("published"), fill(NETWORKS[variant][0], "wav2lip"))
    assert import_published.recognises(checkpoint)
    tensors, about = import_published.convert(checkpoint)
    assert about["variant"] == variant
    return tensors


def arrays_of(name: str) -> tuple[dict[str, np.ndarray], dict[str, Tensor]]:
    """Arrays of a fixture, and the same as tensors."""
    arrays = fixture(name, "wav2lip")
    return arrays, {key: torch.from_numpy(value) for key, value in arrays.items()}


def check_generator(model: Wav2Lip) -> None:
    arrays, inputs = arrays_of("wav2lip")
    sound, maps = model.encode_sound(inputs["mel"]), model.encode_face(inputs["face"])
    assert relative_error(sound[:, :, None, None], arrays["audio_embedding"]) <= TOLERANCE
    assert relative_error(maps[-1], arrays["face_embedding"]) <= TOLERANCE
    assert relative_error(model.decode(sound, maps), arrays["output"]) <= TOLERANCE


def test_generator_with_its_norms_and_folded() -> None:
    model = Wav2Lip().eval()
    model.load_state_dict(converted("generator"), strict=False)
    check_generator(model)
    fold_norms(model)
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in model.modules())
    check_generator(model)


def test_expert_from_a_file_as_published(tmp_path: Path) -> None:
    """A training state of a wrapped network, in the format of the PyTorch of its time."""
    state = {f"module.{key}": value for key, value in fill("lipsync_expert", "wav2lip").items()}
    content = {"state_dict": state, "optimizer": {"state": {}, "param_groups": []}}
    path = tmp_path / "lipsync_expert.pth"
    torch.save(
        content | {"global_step": 1, "global_epoch": 2}, path, _use_new_zipfile_serialization=False
    )
    said = import_checkpoint(path, "expert")
    assert "wav2lip, expert, for research and personal use only" in said
    assert "terms: for research and personal use only" in describe_weights("expert")
    model = load_expert("expert")
    arrays, inputs = arrays_of("lipsync_expert")
    sound, face = model.embed_sound(inputs["mel"]), model.embed_face(inputs["face"])
    assert relative_error(sound, arrays["audio_embedding"]) <= TOLERANCE
    assert relative_error(face, arrays["face_embedding"]) <= TOLERANCE
    cosine = model.cosine(inputs["mel"], inputs["face"])
    assert relative_error(cosine, arrays["cosine"]) <= TOLERANCE
    assert relative_error(sync_loss(cosine, torch.ones(2)), arrays["bce_loss_y1"]) <= TOLERANCE


def test_discriminator() -> None:
    model = QualityDiscriminator().eval()
    model.load_state_dict(converted("discriminator"))
    arrays, inputs = arrays_of("disc_qual")
    assert relative_error(model(inputs["face"]), arrays["output"]) <= TOLERANCE


@pytest.mark.parametrize("variant", NETWORKS)
def test_every_published_key_has_its_place(variant: str) -> None:
    """Key for key and shape for shape, against a table that is not our code."""
    name, network = NETWORKS[variant]
    with torch.device("meta"):
        state = network().state_dict()
    ours = {import_published.published_key(key): tuple(value.shape) for key, value in state.items()}
    assert ours == {key: shape for key, (_, shape, _) in keys_of(name, "wav2lip").items()}


def random_network(variant: str) -> Any:
    torch.manual_seed(0)
    network = NETWORKS[variant][1](NARROW).eval()
    for part in network.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2.0)
    return network


def published(variant: str, prefix: str = "module.") -> dict[str, Tensor]:
    """The tensors of a file with a narrow network."""
    state = random_network(variant).state_dict()
    return {prefix + import_published.published_key(key): value for key, value in state.items()}


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("counted", [True, False])
def test_layouts_that_are_taken(tmp_path: Path, prefix: str, counted: bool) -> None:
    """Wrapped or not; with or without the counters of batches, which old files lack."""
    state = published("generator", prefix)
    kept = {key: value for key, value in state.items() if counted or "num_batches" not in key}
    import_checkpoint(write(tmp_path, {"state_dict": kept}), "mine")
    mel, face = torch.randn(2, 1, 80, 16), torch.rand(2, 6, 96, 96)
    expected = random_network("generator")(mel, face)
    torch.testing.assert_close(load_generator("mine")(mel, face), expected, rtol=0, atol=1e-5)


@pytest.mark.usefixtures("narrow")
def test_another_network_is_refused_by_name(tmp_path: Path) -> None:
    import_checkpoint(write(tmp_path, {"state_dict": published("discriminator")}), "mine")
    assert isinstance(load_discriminator("mine"), QualityDiscriminator)
    for load in (load_generator, load_expert):
        with pytest.raises(CheckpointError, match="mine: not the tensors of a"):
            load("mine")


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("variant", NETWORKS)
def test_complaints_name_the_tensor(tmp_path: Path, variant: str) -> None:
    whole = published(variant)
    key = [key for key in whole if "num_batches" not in key][-1]
    lacking = {name: value for name, value in whole.items() if name != key}
    assert f"({variant}): lacks {key}" in complaint(write(tmp_path, {"state_dict": lacking}))
    odd = whole | {"module.surprise": torch.zeros(1)}
    said = complaint(write(tmp_path, {"state_dict": odd}))
    assert "has module.surprise, which does not belong there" in said
    for wrong, words in [
        (whole[key][None], "has shape [1, "),
        (whole[key].half(), "is float16, expected float32"),
        (whole[key] / 0.0, "holds values that are not finite"),
    ]:
        assert f"{key} {words}" in complaint(write(tmp_path, {"state_dict": whole | {key: wrong}}))


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("new", [True, False], ids=["archive", "before 1.6"])
def test_bad_files_are_refused(tmp_path: Path, new: bool) -> None:
    """Nothing of a file is run, in either format, and a part of one is no file."""

    def saved(content: object) -> Path:
        path = tmp_path / "published.pth"
        torch.save(content, path, _use_new_zipfile_serialization=new)
        return path

    whole, trace = published("generator"), tmp_path / "trace"
    said = complaint(saved({"state_dict": whole, "optimizer": Code(trace)}))
    assert "refused, for it holds more than tensors" in said
    assert not trace.exists()
    for share in (0.001, 0.5, 0.99):
        words = complaint(cut(saved({"state_dict": whole}), share))
        assert "damaged" in words or "refused" in words
    assert "not a flat dict of tensors: 'n' is a int" in complaint(saved({"state_dict": {"n": 1}}))
    assert "holds a list, not a dict of tensors" in complaint(saved([whole]))


@pytest.mark.usefixtures("narrow")
def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, {"state_dict": published("expert")})
    assert "damaged (checksum of" in complaint(damage(path))


def test_a_stretch_is_its_frames() -> None:
    model = random_network("generator")
    mel, face = torch.randn(2, 3, 1, 80, 16), torch.rand(2, 6, 3, 96, 96)
    stretch = model(mel, face)
    assert stretch.shape == (2, 3, 3, 96, 96)
    torch.testing.assert_close(stretch[1, :, 2], model(mel[1:, 2], face[1:, :, 2])[0])


def test_the_lower_half_of_a_face_is_hidden_above_and_whole_below() -> None:
    crop, reference = torch.rand(1, 3, 96, 96), torch.rand(1, 3, 96, 96)
    seen = face_input(crop)
    assert torch.equal(seen[:, :3, :48], crop[:, :, :48])
    assert (seen[:, :3, 48:] == 0.0).all()
    assert torch.equal(seen[:, 3:], crop)
    assert torch.equal(face_input(crop, reference)[:, 3:], reference)


def test_lower_halves_are_stacked_frame_by_frame() -> None:
    pictures = torch.rand(2, 3, 5, 96, 96)
    halves = lower_halves(pictures)
    assert halves.shape == (2, 15, 48, 96)
    assert torch.equal(halves[:, 7], pictures[:, 1, 2, 48:])


def test_the_discriminator_sees_lower_halves_only() -> None:
    model, pictures = random_network("discriminator"), torch.rand(2, 3, 3, 96, 96)
    verdict = model(pictures)
    assert verdict.shape == (6, 1)
    changed = pictures.clone()
    changed[..., :48, :] = 0.0
    assert torch.equal(model(changed), verdict)
    torch.testing.assert_close(verdict[1 * 2 + 1], model(pictures[1:, :, 1:2])[0])


def test_wrong_shapes_are_refused() -> None:
    generator, expert = random_network("generator"), random_network("expert")
    with pytest.raises(ValueError, match=r"mel windows \[B, 1, 80, 16\], got \[1, 80, 16\]"):
        generator.encode_sound(torch.zeros(1, 80, 16))
    with pytest.raises(ValueError, match=r"faces \[B, 6, 96, 96\], got \[1, 3, 96, 96\]"):
        generator.encode_face(torch.zeros(1, 3, 96, 96))
    with pytest.raises(ValueError, match=r"got \[1, 15, 96, 96\]"):
        expert.embed_face(torch.zeros(1, 15, 96, 96))
    with pytest.raises(ValueError, match=r"got \[1, 3, 4, 96, 96\]"):
        lower_halves(torch.zeros(1, 3, 4, 96, 96))
    with pytest.raises(ValueError, match="width must be even, got 3"):
        Wav2Lip(3)
