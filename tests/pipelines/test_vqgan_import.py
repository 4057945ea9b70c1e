"""Importing published VQGANs: every layout is taken, and what is wrong with a file is said.

The layouts are the published ones; the widths are small, so that files are written in a moment.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pipelines.import_weights import import_checkpoint
from pipelines.swaptalk.vqgan import import_vqgan
from pipelines.swaptalk.vqgan.config import PUBLIC
from pipelines.swaptalk.vqgan.network import Vqgan
from pipelines.swaptalk.vqgan.weights import load_vqgan
from tests.support.imports import Code, complaint, cut, damage, write

THIN = {key: replace(config, ch=32) for key, config in import_vqgan._LAYOUTS.items()}
STAGE = "first_stage_model."
LAYOUTS = {"f16": (5, "nearest"), "f8": (4, "nearest"), "f4": (3, "nearest"),
           "gumbel": (4, "gumbel")}  # fmt: skip
Content = dict[str, Tensor]


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("VIVAVOCE_WEIGHTS", str(tmp_path / "user"))
    monkeypatch.setattr(import_vqgan, "_LAYOUTS", THIN)
    return tmp_path


def published(layout: str = "f8", prefix: str = "", codes: int = 7, dim: int = 4) -> Content:
    """A file's content, random numbers, and what training left beside them."""
    torch.manual_seed(0)
    config = replace(THIN[LAYOUTS[layout]], codes=codes, code_dim=dim)  # type: ignore[index]
    content = {prefix + key: value for key, value in Vqgan(config).state_dict().items()}
    content["loss.perceptual_loss.lin0.model.1.weight"] = torch.ones(1, 64, 1, 1)
    content["loss.discriminator.main.0.weight"] = torch.ones(64, 3, 4, 4)
    content["model_ema.decay"] = torch.tensor(0.999)
    content["colorize"] = torch.ones(3, 9, 1, 1)
    return content


@pytest.mark.parametrize("prefix", ["", STAGE], ids=["alone", "transformer"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_is_taken(folder: Path, layout: str, prefix: str) -> None:
    content = published(layout, prefix)
    content |= {"transformer.tok_emb.weight": torch.ones(3), "cond_stage_model.x": torch.ones(2)}
    path = write(folder, {"state_dict": content, "epoch": 3, "optimizer_states": [{"a": 1}]})
    said = import_checkpoint(path, "mine")
    factor = {"f16": 16, "f8": 8, "f4": 4, "gumbel": 8}[layout]
    assert said.startswith(f"mine: vqgan, f{factor}-7x4, ")
    model = load_vqgan("mine")
    assert (model.config.codes, model.config.code_dim) == (7, 4)
    for key, value in model.state_dict().items():
        assert torch.equal(value, content[prefix + key])


@pytest.mark.parametrize("name", PUBLIC)
def test_public_models_are_told_by_their_codebooks(name: str) -> None:
    """Layout and codebook are all that tells the variants."""
    public = PUBLIC[name]
    book = "quantize.embed.weight" if public.quantiser == "gumbel" else "quantize.embedding.weight"
    last = len(public.ch_mult) - 1
    shapes = {book: (public.codes, public.code_dim), f"decoder.up.{last}.block.0.x": ()}
    found = replace(import_vqgan.layout_of(shapes), ch=128)
    assert found == public
    assert import_vqgan.variant_of(found) == name


@pytest.mark.parametrize("prefix", ["", STAGE])
@pytest.mark.parametrize(
    "key",
    [
        "encoder.conv_in.weight",
        "encoder.down.3.attn.0.q.weight",
        "decoder.up.0.block.2.conv1.bias",
        "decoder.mid.attn_1.norm.weight",
        "quantize.embedding.weight",
        "quant_conv.bias",
        "post_quant_conv.weight",
    ],
)
def test_every_used_key_is_needed(folder: Path, prefix: str, key: str) -> None:
    content = published(prefix=prefix)
    del content[prefix + key]
    assert f"lacks {prefix if 'embedding' not in key else ''}{key}" in complaint(
        write(folder, {"state_dict": content})
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda value: value[..., :-1], "has shape"),
        (lambda value: value.half(), "is float16, expected float32"),
        (lambda value: value / 0.0, "holds values that are not finite"),
        (lambda value: value.to_sparse(), "is not stored as plain numbers"),
    ],
    ids=["short", "half", "infinite", "sparse"],
)
@pytest.mark.parametrize("key", ["encoder.mid.block_1.conv1.weight", "quant_conv.weight"])
def test_an_altered_tensor_is_named(
    folder: Path, key: str, change: Callable[[Tensor], Tensor], words: str
) -> None:
    content = published()
    content[key] = change(content[key])
    assert f"(f8-7x4): {key} {words}" in complaint(write(folder, content))


def test_what_does_not_belong_there_is_named(folder: Path) -> None:
    content = published() | {"decoder.up.1.attn.0.q.weight": torch.ones(3)}
    said = complaint(write(folder, content))
    assert "has decoder.up.1.attn.0.q.weight, which does not belong there" in said


def test_an_autoencoder_without_codebook_is_told_apart(folder: Path) -> None:
    """Stable Diffusion's first stage: the same layers, a mean and a variance in place of codes."""
    content = {k: v for k, v in published(prefix=STAGE).items() if "quantize" not in k}
    content[f"{STAGE}quant_conv.weight"] = torch.ones(8, 8, 1, 1)
    content[f"{STAGE}post_quant_conv.weight"] = torch.ones(4, 4, 1, 1)
    said = complaint(write(folder, content))
    assert "there is no codebook, so this is no VQGAN but a KL autoencoder" in said


def test_unknown_depths_are_refused(folder: Path) -> None:
    content = published() | {"encoder.down.6.block.0.conv1.weight": torch.ones(1)}
    said = complaint(write(folder, content))
    assert "7 levels with a nearest codebook; known are 5 with a nearest one, " in said


def test_what_lightning_left_is_let_go_unread(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Published files name classes of the program that trained them. None of them is made."""
    made = []

    class ModelCheckpoint:
        def __setstate__(self, state: object) -> None:
            made.append(state)

    name = "pytorch_lightning.callbacks.model_checkpoint"
    ModelCheckpoint.__module__, ModelCheckpoint.__qualname__ = name, "ModelCheckpoint"
    for depth in (1, 2, 3):
        part = ".".join(name.split(".")[:depth])
        monkeypatch.setitem(sys.modules, part, types.ModuleType(part))
    vars(sys.modules[name])["ModelCheckpoint"] = ModelCheckpoint
    kept = ModelCheckpoint()
    kept.best = 1  # type: ignore[attr-defined]
    beside = {"callbacks": {ModelCheckpoint: {"best_model_score": np.float64(0.5)}, "it": kept}}
    path = write(folder, {"state_dict": published()} | beside)
    assert import_checkpoint(path, "mine").startswith("mine: vqgan")
    assert not made


def test_other_code_is_refused_and_not_run(folder: Path) -> None:
    path = write(folder, {"state_dict": published(), "callbacks": Code(folder / "ran")})
    assert "more than tensors" in complaint(path)
    assert not (folder / "ran").exists()


@pytest.mark.parametrize("spoil", [lambda path: cut(path, 0.9), damage], ids=["cut", "damaged"])
def test_a_spoilt_file_is_refused(folder: Path, spoil: Callable[[Path], Path]) -> None:
    assert "damaged" in complaint(spoil(write(folder, {"state_dict": published()})))
