"""HuBERT: equal to the published hidden states; a small network shows loading and streaming."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from pipelines.audio.hubert import (
    Hubert,
    HubertLayout,
    HubertStream,
    HubertStreamConfig,
    count,
    load_hubert,
    normalised,
)
from pipelines.weights import CheckpointError
from tests.support.fill import fill, fixture, relative_error, wave

pytest.importorskip("transformers")

SMALL = HubertLayout(
    hidden_size=32,
    num_hidden_layers=3,
    num_attention_heads=4,
    intermediate_size=48,
    conv_dim=(16,) * 7,
    num_conv_pos_embeddings=16,
    num_conv_pos_embedding_groups=4,
)
NEW = "encoder.pos_conv_embed.conv.parametrizations.weight.original"
OLD = "encoder.pos_conv_embed.conv.weight_"


@pytest.fixture(scope="module")
def hubert() -> Hubert:
    torch.manual_seed(0)
    return Hubert(SMALL).requires_grad_(False)


def sound(batch: int, samples: int, seed: int = 0) -> Tensor:
    return torch.randn(batch, samples, generator=torch.Generator().manual_seed(seed)) * 0.1


def everyone(batch: int) -> Tensor:
    return torch.ones(batch, dtype=torch.bool)


def write_folder(folder: Path, hubert: Hubert, **changes: Any) -> Path:
    """A folder as published: older key names, settings about training beside the layout."""
    config = asdict(SMALL) | {"model_type": "hubert", "layerdrop": 0.1, "vocab_size": 32} | changes
    (folder / "config.json").write_text(json.dumps(config))
    state = {
        key.replace(f"{NEW}0", f"{OLD}g").replace(f"{NEW}1", f"{OLD}v"): value.clone()
        for key, value in hubert.model.state_dict().items()
    }
    torch.save(state, folder / "pytorch_model.bin")
    return folder


@pytest.mark.slow
def test_fixture_hidden_states() -> None:
    arrays = fixture("hubert_large")
    with torch.device("meta"):
        large = Hubert()
    large.load(fill("hubert_large"), "the fixture")
    samples = torch.from_numpy(wave("anitalker.wave", 16_000))[None]
    front: list[Tensor] = []
    large.model.feature_extractor.register_forward_hook(lambda *call: front.append(call[-1]))
    with torch.inference_mode():
        rows = large.hidden(normalised(samples))[0]
    assert relative_error(front[0][0, ::8, ::6], arrays["conv"]) <= 1e-5
    assert rows.shape == (25, int(arrays["n_frames"]) + 1, 1024)
    assert torch.equal(rows[:, -1], rows[:, -2])
    for layer, expected in zip(arrays["layers"].tolist(), arrays["hidden"], strict=True):
        assert relative_error(rows[layer, arrays["frames"].tolist()], expected) <= 1e-5, layer
    spread = rows[:, :-1].flatten(1).double().std(1)
    assert relative_error(spread, arrays["hidden.std"]) <= 1e-5


def test_fixture_normalisation() -> None:
    samples = torch.from_numpy(wave("anitalker.wave", 16_000))[None]
    expected = fixture("hubert_large")["in.normalised.slice"]
    assert relative_error(normalised(samples)[0, : len(expected)], expected) <= 1e-5


def test_row_count() -> None:
    assert [count(samples) for samples in (400, 719, 720, 16_000, 80_000)] == [2, 2, 3, 50, 250]


def test_rows_of_an_utterance(hubert: Hubert) -> None:
    assert hubert.hidden(sound(2, 16_399)).shape == (2, 4, 51, 32)
    assert hubert(sound(2, 16_399)).shape == (2, 4, 50, 32)
    with pytest.raises(ValueError, match="at least 400"):
        hubert(sound(1, 399))


def test_last_state_is_normed_and_the_others_are_not(hubert: Hubert) -> None:
    raw: list[Tensor] = []
    handles = [
        layer.register_forward_hook(
            lambda _module, _inputs, out: raw.append(out[0] if isinstance(out, tuple) else out)
        )
        for layer in hubert.model.encoder.layers
    ]
    states = hubert.hidden(normalised(sound(1, 4_000)))[:, :, :-1]
    for handle in handles:
        handle.remove()
    torch.testing.assert_close(states[:, 1], raw[0])
    torch.testing.assert_close(states[:, 2], raw[1])
    torch.testing.assert_close(states[:, 3], hubert.model.encoder.layer_norm(raw[2]))
    assert (states[:, 3] - raw[2]).abs().max() > 0.1


@pytest.mark.parametrize("config", [{"frames": 1, "ahead": 0}, {"frames": 2, "ahead": 3}])
def test_a_full_window_equals_the_whole_utterance(hubert: Hubert, config: dict[str, int]) -> None:
    stream = HubertStream(hubert, HubertStreamConfig(window=10, **config))
    samples = sound(2, 6_400)
    state = stream.init_state(2)
    rows = [stream.step(hop, state, everyone(2)) for hop in samples.split(stream.hop, 1)]
    end = 2 * (10 - config["ahead"])
    torch.testing.assert_close(rows[-1], hubert(samples)[:, :, end - 2 * config["frames"] : end])


def test_look_ahead_is_the_age_of_the_rows(hubert: Hubert) -> None:
    stream = HubertStream(hubert, HubertStreamConfig(window=10, ahead=3))
    assert (stream.hop, stream.look_ahead) == (640, 1_920)
    samples = sound(1, 6_400)
    state = stream.init_state(1)
    rows = [stream.step(hop, state, everyone(1)) for hop in samples.split(640, 1)][-1]
    whole = hubert(samples)
    frame = 10 - 1 - stream.look_ahead // 640
    torch.testing.assert_close(rows, whole[:, :, 2 * frame : 2 * frame + 2])


def test_sound_older_than_the_window_is_forgotten(hubert: Hubert) -> None:
    stream = HubertStream(hubert, HubertStreamConfig(window=6))
    state = stream.init_state(2)
    samples = sound(1, 12 * 640).expand(2, -1).clone()
    samples[1, : 6 * 640] = 0.7
    for hop in samples.split(640, 1):
        rows = stream.step(hop, state, everyone(2))
    torch.testing.assert_close(rows[0], rows[1])


def test_level_does_not_matter_from_the_first_hop(hubert: Hubert) -> None:
    stream = HubertStream(hubert, HubertStreamConfig(window=6))
    state = stream.init_state(2)
    samples = sound(1, 640) * torch.tensor([[1.0], [0.3]])
    rows = stream.step(samples, state, everyone(2))
    torch.testing.assert_close(rows[0], rows[1], rtol=1e-3, atol=1e-3)


def test_idle_slot_is_untouched_and_a_reset_one_is_fresh(hubert: Hubert) -> None:
    stream = HubertStream(hubert, HubertStreamConfig(window=6))
    state = stream.init_state(2)
    stream.step(sound(2, 640), state, everyone(2))
    held = state.window.clone()
    stream.step(sound(2, 640, seed=1), state, torch.tensor([True, False]))
    assert torch.equal(state.window[1], held[1])
    assert state.heard.tolist() == [1_280, 640]
    state.reset(torch.tensor([True, False]))
    samples = sound(2, 640, seed=2)
    fresh = stream.step(samples, stream.init_state(2), everyone(2))
    torch.testing.assert_close(stream.step(samples, state, everyone(2))[0], fresh[0])


def test_wrong_hop_and_impossible_windows_are_refused(hubert: Hubert) -> None:
    stream = HubertStream(hubert)
    with pytest.raises(ValueError, match="expected"):
        stream.step(sound(1, 1_280), stream.init_state(1), everyone(1))
    with pytest.raises(ValueError, match="cannot give"):
        HubertStreamConfig(window=3, ahead=3)


def test_published_folder_loads(hubert: Hubert, tmp_path: Path) -> None:
    loaded = load_hubert(write_folder(tmp_path, hubert), SMALL)
    assert not loaded.training
    samples = sound(1, 4_000)
    assert torch.equal(loaded(samples), hubert(samples))


def test_newer_folder_loads(hubert: Hubert, tmp_path: Path) -> None:
    write_folder(tmp_path, hubert)
    (tmp_path / "pytorch_model.bin").unlink()
    state = {f"hubert.{k}": v.clone() for k, v in hubert.model.state_dict().items()}
    state.pop("hubert.masked_spec_embed")
    save_file(state, tmp_path / "model.safetensors")
    (tmp_path / "preprocessor_config.json").write_text('{"do_normalize": true}')
    samples = sound(1, 4_000)
    assert torch.equal(load_hubert(tmp_path, SMALL)(samples), hubert(samples))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"hidden_size": 768}, "hidden_size is 768, expected 32"),
        ({"do_stable_layer_norm": False}, "do_stable_layer_norm is False, expected True"),
        ({"conv_kernel": [10, 3]}, "conv_kernel is"),
        ({"model_type": "wav2vec2"}, "model_type is 'wav2vec2'"),
        ({"conv_pos_batch_norm": True}, "weight norm"),
        ({"auto_map": {"AutoModel": "evil.Model"}}, "auto_map is set"),
    ],
)
def test_other_layouts_are_refused(
    hubert: Hubert, tmp_path: Path, changes: dict[str, Any], complaint: str
) -> None:
    write_folder(tmp_path, hubert, **changes)
    with pytest.raises(CheckpointError, match=complaint):
        load_hubert(tmp_path, SMALL)


def _drop(state: dict[str, Any]) -> None:
    del state["encoder.layer_norm.weight"]


def _add(state: dict[str, Any]) -> None:
    state["lm_head.weight"] = torch.zeros(2)


def _reshape(state: dict[str, Any]) -> None:
    state["encoder.layer_norm.weight"] = torch.zeros(31)


class _Code:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.system, ("exit 1",)


def _infect(state: dict[str, Any]) -> None:
    state["encoder.layer_norm.weight"] = _Code()


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (_drop, "lacks encoder.layer_norm.weight"),
        (_add, "has lm_head.weight"),
        (_reshape, r"encoder.layer_norm.weight has shape \[31\], expected \[32\]"),
        (_infect, "more than tensors"),
    ],
)
def test_wrong_weights_are_refused(
    hubert: Hubert, tmp_path: Path, spoil: Callable[[dict[str, Any]], None], complaint: str
) -> None:
    path = write_folder(tmp_path, hubert) / "pytorch_model.bin"
    state = dict(torch.load(path, weights_only=True))
    spoil(state)
    torch.save(state, path)
    with pytest.raises(CheckpointError, match=complaint):
        load_hubert(tmp_path, SMALL)


def test_other_sound_is_refused(hubert: Hubert, tmp_path: Path) -> None:
    write_folder(tmp_path, hubert)
    (tmp_path / "preprocessor_config.json").write_text('{"sampling_rate": 48000}')
    with pytest.raises(CheckpointError, match="sampling_rate is 48000"):
        load_hubert(tmp_path, SMALL)


def test_missing_and_unreadable_files(hubert: Hubert, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_hubert(tmp_path, SMALL)
    write_folder(tmp_path, hubert)
    (tmp_path / "pytorch_model.bin").unlink()
    with pytest.raises(FileNotFoundError, match="neither"):
        load_hubert(tmp_path, SMALL)
    (tmp_path / "config.json").write_text("[")
    with pytest.raises(CheckpointError, match="not readable as JSON"):
        load_hubert(tmp_path, SMALL)


def test_without_transformers_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match=r"vivavoce\[hubert\]"):
        Hubert(SMALL)
