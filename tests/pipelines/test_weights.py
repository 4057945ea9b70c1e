"""Importing published checkpoints: what is taken, and what is refused in which words.

The kinds are tried on a generator small enough to write in a moment; files of the five published
sizes are imported in test_stage2_parity.py.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from pipelines import weights
from pipelines.checkpoints import check_tensors, load_weights, read_checkpoint
from pipelines.diffusion.config import PRESETS, GeneratorConfig
from pipelines.diffusion.generator import MotionGenerator
from pipelines.import_weights import import_checkpoint
from pipelines.weights import (
    CheckpointError,
    describe_weights,
    find_weights,
    list_weights,
    user_weights_dir,
)
from realtime.cli import main
from tests.support.fill import keys_of, stage2_checkpoint
from tests.support.imports import Code, complaint, cut, damage, write

Change = Callable[[dict[str, Any]], None]

SMALL = {
    name: GeneratorConfig(
        features=preset.features,
        audio_dim=6,
        audio_layers=3 if preset.audio_layers else 0,
        down=(8,) if preset.features == "hubert" else (6, 8),
        speech_blocks=1 if preset.speech_blocks else 0,
        pose=preset.pose,
        framing=preset.framing,
        adapter_dim=4,
        side_dim=2,
        decoder_blocks=1,
        kernel=3,
    )
    for name, preset in PRESETS.items()
    if name not in ("portrait", "codes")
}


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where imports go, and small generators behind the published names."""
    monkeypatch.setenv("VIVAVOCE_WEIGHTS", str(tmp_path / "user"))
    monkeypatch.setattr(weights, "shipped_weights_dir", lambda: tmp_path / "shipped")
    for name, config in SMALL.items():
        monkeypatch.setitem(PRESETS, name, config)
    return tmp_path


def published(variant: str = "hubert_full_control", seed: int = 0) -> dict[str, Any]:
    """A file's content; the generator is filled at random."""
    state = MotionGenerator(PRESETS[variant]).state_dict()
    random = torch.Generator().manual_seed(seed)
    for value in state.values():
        if value.is_floating_point():
            value.copy_(torch.randn(value.shape, generator=random))
    return stage2_checkpoint(state)


@pytest.mark.parametrize("variant", SMALL)
def test_each_variant_is_recognised_and_converted(folder: Path, variant: str) -> None:
    content = published(variant)
    path = write(folder, content)
    said = import_checkpoint(path, "mine")
    tensors, metadata = load_weights("mine")
    assert variant in said
    assert metadata == {
        "kind": "anitalker-stage2",
        "variant": variant,
        "source": "published.ckpt",
        "source_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    assert set(tensors) == set(MotionGenerator(PRESETS[variant]).state_dict())
    assert all(torch.equal(value, content[f"ema_model.{key}"]) for key, value in tensors.items())


@pytest.mark.parametrize("variant", SMALL)
def test_published_sizes_are_those_of_our_networks(
    monkeypatch: pytest.MonkeyPatch, variant: str
) -> None:
    """Key for key and shape for shape, against a table that is not our code."""
    monkeypatch.undo()
    with torch.device("meta"):
        state = MotionGenerator(PRESETS[variant]).state_dict()
    found = {key: tuple(value.shape) for key, value in state.items()}
    assert found == {key: shape for key, (_, shape, _) in keys_of(f"stage2_{variant}").items()}


def _lacking(content: dict[str, Any]) -> None:
    del content["ema_model.out_proj.bias"]


def _half(content: dict[str, Any]) -> None:
    for key in [key for key in content if key.startswith("ema_model.")]:
        del content[key]


def _too_many(content: dict[str, Any]) -> None:
    content["ema_model.surprise"] = torch.zeros(1)


def _other_shape(content: dict[str, Any]) -> None:
    content["ema_model.out_proj.bias"] = torch.zeros(21)


def _other_type(content: dict[str, Any]) -> None:
    content["ema_model.out_proj.bias"] = content["ema_model.out_proj.bias"].half()


def _not_finite(content: dict[str, Any]) -> None:
    content["ema_model.out_proj.bias"][3] = float("nan")


def _sparse(content: dict[str, Any]) -> None:
    content["ema_model.out_proj.weight"] = content["ema_model.out_proj.weight"].to_sparse()


def _framing_without_pose(content: dict[str, Any]) -> None:
    for key in [key for key in content if "speech_encoder" in key or key.endswith("model.weights")]:
        del content[key]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_lacking, ["hubert_full_control", "lacks ema_model.out_proj.bias"]),
        (_half, ["lacks ema_model.weights, ", " more"]),
        (_too_many, ["has ema_model.surprise, which does not belong there"]),
        (_other_shape, ["ema_model.out_proj.bias has shape [21], expected [20]"]),
        (_other_type, ["ema_model.out_proj.bias is float16, expected float32"]),
        (_not_finite, ["ema_model.out_proj.bias holds values that are not finite"]),
        (_sparse, ["ema_model.out_proj.weight is not stored as plain numbers"]),
        (_framing_without_pose, ["none of the published stage-2 variants has neither mfcc"]),
    ],
)
def test_what_is_wrong_with_a_file_is_said(folder: Path, change: Change, words: list[str]) -> None:
    content = published()
    change(content)
    said = complaint(write(folder, content))
    assert "published.ckpt" in said
    for word in words:
        assert word in said


def test_code_in_a_file_is_refused_and_not_run(folder: Path) -> None:
    content = published() | {"hook": Code(folder / "ran")}
    said = complaint(write(folder, content))
    assert "more than tensors" in said
    assert "system" in said
    assert not (folder / "ran").exists()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_file_cut_short_is_refused(folder: Path, share: float) -> None:
    path = cut(write(folder, published()), share)
    assert ("cut short" in complaint(path)) == (share > 0)


def test_a_damaged_file_is_refused(folder: Path) -> None:
    assert "damaged" in complaint(damage(write(folder, published())))


def test_compressed_entries_are_refused(folder: Path) -> None:
    path = write(folder, published())
    packed = folder / "packed.ckpt"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as to:
        for item in source.namelist():
            to.writestr(item, source.read(item))
    assert "compressed" in complaint(packed)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol:UserWarning")
@pytest.mark.parametrize("part", ["archive", "pickle"])
def test_bytes_that_make_no_sense_are_refused_in_words(folder: Path, part: str) -> None:
    """Whatever happens to an archive or to the pickle in it, the complaint is ours."""
    path = write(folder, {"a": torch.ones(3), "b": torch.zeros(2, dtype=torch.int64)})
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        items = {name: archive.read(name) for name in archive.namelist()}
    pickled = next(name for name in items if name.endswith("data.pkl"))
    refused = 0
    for seed in range(200):
        if part == "archive":
            path.write_bytes(spoilt(whole, Random(seed), first=4))
        else:
            with zipfile.ZipFile(path, "w") as archive:
                for name, value in items.items():
                    archive.writestr(
                        name, value if name != pickled else spoilt(value, Random(seed))
                    )
        try:
            read_checkpoint(path)
        except CheckpointError as error:
            refused += 1
            assert str(error).startswith(str(path))
            assert "\n" not in str(error)
    assert refused > 100


def spoilt(content: bytes, random: Random, first: int = 0) -> bytes:
    """`content` with up to five bytes changed, none of them before `first`."""
    changed = bytearray(content)
    for _ in range(random.randint(1, 5)):
        changed[random.randrange(first, len(changed))] = random.randrange(256)
    return bytes(changed)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\x80\x02}q\x00."])
def test_other_files_are_refused(folder: Path, content: bytes) -> None:
    path = folder / "stage2.ckpt"
    path.write_bytes(content)
    assert "neither safetensors nor a PyTorch archive" in complaint(path)


def test_other_archives_are_refused(folder: Path) -> None:
    assert "a list, not a dict" in complaint(write(folder, [torch.zeros(1)]))
    nested = {"weights": {"ema_model.out_proj.bias": torch.zeros(20)}}
    assert "'weights' is a dict" in complaint(write(folder, nested))
    unknown = complaint(write(folder, {"generator.weight": torch.zeros(2)}))
    assert "no kind that can be imported" in unknown
    assert "AniTalker" in unknown


def test_safetensors_can_be_imported_too(folder: Path) -> None:
    path = folder / "stage2.safetensors"
    save_file(published(), path)
    assert "hubert_full_control" in import_checkpoint(path, "mine")
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        import_checkpoint(path, "other")


def test_a_missing_file_is_an_os_error(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such file"):
        import_checkpoint(folder / "gone.ckpt", "mine")


def test_a_name_is_not_taken_twice(folder: Path) -> None:
    first = write(folder, published(seed=1), "first.ckpt")
    other = write(folder, published(seed=2), "other.ckpt")
    import_checkpoint(first, "mine")
    assert "already at" in import_checkpoint(first, "mine")
    before = find_weights("mine").read_bytes()
    with pytest.raises(CheckpointError, match="delete that file first"):
        import_checkpoint(other, "mine")
    assert find_weights("mine").read_bytes() == before


def test_shipped_weights_come_first_and_keep_their_name(folder: Path) -> None:
    (folder / "shipped").mkdir()
    save_file({"a": torch.ones(1)}, folder / "shipped" / "ours.safetensors", {"kind": "portrait"})
    path = write(folder, published())
    import_checkpoint(path, "a-published-one")
    assert list_weights() == ["ours", "a-published-one"]
    with pytest.raises(CheckpointError, match=r"'ours' exist already .*choose another name$"):
        import_checkpoint(path, "ours")
    tensors, metadata = load_weights("ours")
    assert torch.equal(tensors["a"], torch.ones(1))
    assert metadata == {"kind": "portrait"}


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "x" * 65, "sp ace", "nul\0"])
def test_names_that_are_no_file_names_are_refused(folder: Path, name: str) -> None:
    assert "cannot call weights" in complaint(write(folder, published()), name)


def test_finding_stays_inside_the_folders(folder: Path) -> None:
    save_file({"a": torch.ones(1)}, folder / "outside.safetensors")
    (folder / "user").mkdir()
    for name in ("../outside", "", "outside"):
        with pytest.raises(ValueError, match="no weights called"):
            find_weights(name)


def test_the_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIVAVOCE_WEIGHTS", "/w")
    assert user_weights_dir() == Path("/w")
    monkeypatch.delenv("VIVAVOCE_WEIGHTS")
    monkeypatch.setenv("VIVAVOCE_DATA", "/d")
    assert user_weights_dir() == Path("/d/weights")
    monkeypatch.delenv("VIVAVOCE_DATA")
    monkeypatch.setenv("XDG_DATA_HOME", "/x")
    assert user_weights_dir() == Path("/x/vivavoce/weights")


def test_description_names_kind_size_and_source(folder: Path) -> None:
    import_checkpoint(write(folder, published()), "mine")
    said = describe_weights("mine")
    assert said.startswith("mine: ")
    for word in ("tensors", "MB", "kind: anitalker-stage2", "variant: hubert_full_control"):
        assert word in said
    find_weights("mine").write_bytes(b"garbage")
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        describe_weights("mine")


def test_command_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(write(folder, published()))
    assert main(["weights", "import", path, "--as", "mine"]) == 0
    assert main(["weights", "list"]) == 0
    assert main(["weights", "info", "mine"]) == 0
    assert "variant: hubert_full_control" in capsys.readouterr().out
    write(folder, {"a": torch.zeros(1)})
    assert main(["weights", "import", path, "--as", "other"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("vivavoce weights: ")
    assert said.count("\n") == 1


def test_a_view_is_written_as_what_it_shows(folder: Path) -> None:
    content = published()
    wide = torch.randn(2, 20)
    content["ema_model.out_proj.bias"] = wide.T.contiguous().T[0]
    import_checkpoint(write(folder, content), "mine")
    stored = load_file(find_weights("mine"))["out_proj.bias"]
    assert torch.equal(stored, wide[0])


def test_complaints_are_short(folder: Path) -> None:
    wanted = {str(i): torch.zeros(2) for i in range(50)}
    found: dict[str, Tensor] = {str(i): torch.zeros(3) for i in range(50)}
    with pytest.raises(CheckpointError, match=r"and 46 more") as caught:
        check_tensors(found, wanted, "it")
    assert len(str(caught.value)) < 300


def test_reading_gives_tensors_on_the_cpu(folder: Path) -> None:
    checkpoint = read_checkpoint(write(folder, {"a": torch.ones(2)}))
    assert checkpoint.tensors["a"].device.type == "cpu"
    assert len(checkpoint.sha256()) == 64
