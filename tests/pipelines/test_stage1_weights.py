"""Importing the published renderer: both layouts are taken, and what is wrong with a file is said.

The layout is the published one; the widths are small, so that files are written in a moment.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pipelines.anitalker import import_renderer as checkpoints_stage1
from pipelines.anitalker.config import OFFICIAL, RendererConfig
from pipelines.anitalker.network import FlowWarp
from pipelines.checkpoints import load_weights
from pipelines.import_weights import import_checkpoint
from tests.support.fill import keys_of
from tests.support.imports import Code, complaint, cut, damage, write

THIN = RendererConfig(widths=(4, 5, 6, 8, 8, 8, 8), latent_dim=8, motion_dim=3)
NARROW = {64: 4, 128: 5, 256: 6, 512: 8, 20: 3}  # published width -> ours
UNUSED = ("identity_net.", "identity_net_density.", "noise.weight", "to_rgb1.")


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("VIVAVOCE_WEIGHTS", str(tmp_path / "user"))
    monkeypatch.setattr(checkpoints_stage1, "OFFICIAL", THIN)
    return tmp_path


def published(prefix: str = "", *, seed: int = 0) -> dict[str, Tensor]:
    """A file's content: random numbers under every published key."""
    random = torch.Generator().manual_seed(seed)
    content = {}
    for key, (kind, shape, gain) in keys_of("stage1").items():
        if kind == "buffer":
            taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
            content[prefix + key] = gain * taps[:, None] * taps / 64.0
        else:
            narrow = [NARROW.get(width, width) for width in shape]
            content[prefix + key] = torch.randn(narrow, generator=random)
    return content


def used(key: str) -> bool:
    return not any(part in key for part in UNUSED)


@pytest.mark.parametrize("prefix", ["", "lia."])
def test_both_layouts_are_taken(folder: Path, prefix: str) -> None:
    content = published(prefix) | {"loss.vgg.weight": torch.ones(3), "step": torch.tensor(1)}
    said = import_checkpoint(write(folder, content), "mine")
    tensors, metadata = load_weights("mine")
    assert said.startswith("mine: anitalker-stage1, official, ")
    assert (metadata["kind"], metadata["variant"]) == ("anitalker-stage1", "official")
    FlowWarp(THIN).load_state_dict(tensors)
    for name, value in tensors.items():
        stored = content[prefix + checkpoints_stage1.published_key(name)]
        assert torch.equal(value.flatten(), stored.flatten())


def test_every_used_key_has_its_place() -> None:
    """Key for key and size for size, against a table that is not our code."""
    with torch.device("meta"):
        state = FlowWarp(OFFICIAL).state_dict()
    ours = {checkpoints_stage1.published_key(name): value.numel() for name, value in state.items()}
    table = {
        key: int(torch.Size(shape).numel())
        for key, (kind, shape, _) in keys_of("stage1").items()
        if used(key) and kind != "buffer"
    }
    assert ours == table
    assert len(ours) == len(state)


@pytest.mark.parametrize("prefix", ["", "lia."])
def test_what_training_alone_uses_may_be_missing(folder: Path, prefix: str) -> None:
    content = {key: value for key, value in published(prefix).items() if used(key)}
    assert len(content) < len(published())
    import_checkpoint(write(folder, content), "mine")


@pytest.mark.parametrize("prefix", ["", "lia."])
def test_every_used_key_is_needed(folder: Path, prefix: str) -> None:
    whole = published(prefix)
    for key in list(whole)[::7]:
        if used(key):
            path = write(folder, {other: whole[other] for other in whole if other != key})
            assert f"published.ckpt: lacks {key}" in complaint(path)


@pytest.mark.parametrize("prefix", ["", "lia."])
@pytest.mark.parametrize("key", ["dec.convs.4.conv.weight", "enc.fc.4.bias", "dec.input.input"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda value: value[..., :-1], "has shape"),
        (lambda value: value[None], "has shape"),
        (lambda value: value.half(), "is float16, expected float32"),
        (lambda value: value / 0.0, "holds values that are not finite"),
        (lambda value: value.to_sparse(), "is not stored as plain numbers"),
    ],
    ids=["short", "dimension", "half", "infinite", "sparse"],
)
def test_an_altered_tensor_is_named(
    folder: Path, prefix: str, key: str, change: Callable[[Tensor], Tensor], words: str
) -> None:
    content = published(prefix)
    content[prefix + key] = change(content[prefix + key])
    assert f"published.ckpt: {prefix}{key} {words}" in complaint(write(folder, content))


@pytest.mark.parametrize(
    "key",
    [
        "enc.net_app.convs.3.conv2.0.kernel",
        "enc.net_app.convs.6.skip.0.kernel",
        "dec.convs.8.conv.blur.kernel",
        "dec.to_flows.5.upsample.kernel",
        "dec.to_rgbs.0.upsample.kernel",
    ],
)
def test_another_smoothing_kernel_is_refused(folder: Path, key: str) -> None:
    content = published()
    content[key] = content[key].roll(1, 0)
    assert f"{key} is not the known smoothing kernel" in complaint(write(folder, content))


def test_another_model_of_the_family_is_refused(folder: Path) -> None:
    """LIA itself has an encoder and a generator of these names, with fewer layers about them."""
    content = {key: value for key, value in published().items() if "net_decouping" not in key}
    said = complaint(write(folder, content))
    assert "lacks enc.net_decouping.identity_excluded_net.0.weight, " in said


def test_code_in_a_file_is_refused_and_not_run(folder: Path) -> None:
    said = complaint(write(folder, published() | {"hook": Code(folder / "ran")}))
    assert "more than tensors" in said
    assert not (folder / "ran").exists()


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_file_cut_short_is_refused(folder: Path, share: float) -> None:
    assert "cut short" in complaint(cut(write(folder, published()), share))


def test_a_damaged_file_is_refused(folder: Path) -> None:
    assert "damaged" in complaint(damage(write(folder, published())))


def test_other_names_are_refused() -> None:
    with pytest.raises(ValueError, match=r"no published tensor for 'encoder.blocks.1.other'"):
        checkpoints_stage1.published_key("encoder.blocks.1.other")
