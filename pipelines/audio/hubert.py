"""HuBERT-large hidden states: samples in, two rows of 25 x 1024 per 40 ms hop out.

The features of AniTalker's HuBERT generators (arXiv 2405.03121, the released code): the input of
the first of 24 layers and the output of each, the last after the encoder's layer norm. The network
is `transformers.HubertModel` with weights the user has (TencentGameMate/chinese-hubert-large);
transformers comes with the extra `hubert`.

HuBERT attends to everything, so a stream is heard through a sliding window that is computed anew
for each hop; `HubertStream` is therefore no equal of the whole utterance, only near it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipelines.checkpoints import check_tensors, read_checkpoint
from pipelines.pipeline import SAMPLE_RATE_HZ
from pipelines.streaming import SlotState, masked_write
from pipelines.weights import CheckpointError

ROW = 320  # samples from one row to the next, 20 ms
RECEPTIVE_FIELD = 400  # samples that a row's convolutions see
FRAME = 2 * ROW  # one video frame
_VARIANCE_FLOOR = 1e-7


@dataclass(frozen=True, kw_only=True)
class HubertLayout:
    """Everything that shapes the network, named as in `config.json`; HuBERT-large by default."""

    hidden_size: int = 1024
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    intermediate_size: int = 4096
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-5
    do_stable_layer_norm: bool = True
    feat_extract_norm: str = "layer"
    feat_extract_activation: str = "gelu"
    feat_proj_layer_norm: bool = True
    conv_dim: tuple[int, ...] = (512,) * 7
    conv_kernel: tuple[int, ...] = (10, 3, 3, 3, 3, 2, 2)
    conv_stride: tuple[int, ...] = (5, 2, 2, 2, 2, 2, 2)
    conv_bias: bool = True
    num_conv_pos_embeddings: int = 128
    num_conv_pos_embedding_groups: int = 16


class Hubert(nn.Module):
    """Hidden states of a whole utterance."""

    def __init__(self, layout: HubertLayout | None = None) -> None:
        """A network without weights worth having; `load_hubert` gives one that has them.

        Raises:
            ImportError: transformers is not installed.
        """
        super().__init__()
        self.layout = layout or HubertLayout()
        self.model = _build(self.layout)
        self.eval()

    @property
    def states(self) -> int:
        """Hidden states per row: the input of the first layer and the output of each."""
        return self.layout.num_hidden_layers + 1

    def load(self, tensors: Mapping[str, Tensor], what: str) -> None:
        """Take over weights under their published names, older or newer; fixed from then on.

        Raises:
            CheckpointError: tensors missing, too many or of another shape, in what `what` names.
        """
        found = {
            _renamed(key): value.float() if value.is_floating_point() else value
            for key, value in tensors.items()
        }
        found.setdefault("masked_spec_embed", torch.zeros(self.layout.hidden_size))  # for training
        check_tensors(found, self.model.state_dict(), what)
        self.model.load_state_dict(found, assign=True)
        self.requires_grad_(False)

    def hidden(self, samples: Tensor) -> Tensor:
        """Rows of normalised sound: [B, S] float32 -> [B, states, count(S), hidden_size].

        The last row is repeated once, as the published features have it.
        """
        if samples.dim() != 2 or samples.shape[1] < RECEPTIVE_FIELD:
            raise ValueError(
                f"expected [B, at least {RECEPTIVE_FIELD}] samples, got {tuple(samples.shape)}"
            )
        found = self.model(samples, output_hidden_states=True)
        # `last_hidden_state` has been through the layer norm in every version of transformers,
        # the last of `hidden_states` only up to 4.
        states = torch.stack([*found.hidden_states[:-1], found.last_hidden_state], dim=1)
        return torch.cat([states, states[:, :, -1:]], dim=2)

    def forward(self, samples: Tensor) -> Tensor:
        """A whole utterance [B, S] in [-1, 1] -> [B, states, 2 * (count(S) // 2), hidden_size]."""
        states = self.hidden(normalised(samples))
        return states[:, :, : states.shape[2] // 2 * 2]


def count(samples: int) -> int:
    """Rows of an utterance of `samples` samples, with the one that is repeated at the end."""
    return (samples - RECEPTIVE_FIELD) // ROW + 2


def normalised(samples: Tensor, heard: Tensor | None = None) -> Tensor:
    """Mean 0 and variance 1 over each row of [B, S].

    Where `heard` (bool [B, S]) is false, a sample counts for nothing and becomes 0.
    """
    weight = torch.ones_like(samples) if heard is None else heard.to(samples.dtype)
    total = weight.sum(1, keepdim=True).clamp_min(1.0)
    centred = (samples - (samples * weight).sum(1, keepdim=True) / total) * weight
    variance = centred.square().sum(1, keepdim=True) / total
    return centred / torch.sqrt(variance + _VARIANCE_FLOOR)


@dataclass(frozen=True, kw_only=True)
class HubertStreamConfig:
    """Lengths in video frames of 640 samples."""

    window: int = 125  # 5 s, what the generators were trained on
    frames: int = 1  # new ones per step; each step computes the window once
    ahead: int = 2  # newest frames that are context only

    def __post_init__(self) -> None:
        if self.frames < 1 or self.ahead < 0 or self.frames + self.ahead > self.window:
            raise ValueError(
                f"{self.window} frames cannot give {self.frames} with {self.ahead} ahead of them"
            )


@dataclass
class HubertStreamState(SlotState):
    window: Tensor  # [B, window * 640] float32: the newest samples
    heard: Tensor  # [B] int64: how many of them are of the stream, the rest is silence before it

    def clear(self, slots: Tensor) -> None:
        self.reset(slots)


class HubertStream(nn.Module):
    """Hidden states of the newest `window` frames, computed anew for each hop."""

    def __init__(self, hubert: Hubert, config: HubertStreamConfig | None = None) -> None:
        super().__init__()
        self.hubert = hubert
        self.config = config or HubertStreamConfig()

    @property
    def hop(self) -> int:
        """Samples consumed per step."""
        return self.config.frames * FRAME

    @property
    def look_ahead(self) -> int:
        """Samples of delay: the rows that leave with a step belong to the sound this long ago."""
        return self.config.ahead * FRAME

    def init_state(self, batch: int, device: torch.device | str | None = None) -> HubertStreamState:
        """Silence before the stream, for `batch` slots."""
        size = self.config.window * FRAME
        return HubertStreamState(
            window=torch.zeros(batch, size, device=device),
            heard=torch.zeros(batch, dtype=torch.int64, device=device),
        )

    def step(self, samples: Tensor, state: HubertStreamState, active: Tensor) -> Tensor:
        """samples [B, hop] in [-1, 1], active bool [B] -> [B, states, 2 * frames, hidden_size].

        The sound is normalised over what was heard within the window; before that is silence.

        Raises:
            ValueError: `samples` is not one hop per slot.
        """
        if samples.shape != (len(state.window), self.hop):
            raise ValueError(
                f"expected {(len(state.window), self.hop)} samples, got {tuple(samples.shape)}"
            )
        size = state.window.shape[1]
        window = torch.cat([state.window[:, self.hop :], samples], dim=1)
        heard = (state.heard + self.hop).clamp_max(size)
        masked_write(state.window, window, active)
        masked_write(state.heard, heard, active)
        of_stream = torch.arange(size, device=window.device) >= size - heard[:, None]
        states = self.hubert.hidden(normalised(window, of_stream))
        end = 2 * (self.config.window - self.config.ahead)
        return states[:, :, end - 2 * self.config.frames : end]


def load_hubert(folder: Path, layout: HubertLayout | None = None) -> Hubert:
    """The network in a folder as Hugging Face lays it out, checked against `layout`.

    Reads `config.json` and `model.safetensors` or `pytorch_model.bin`; executes nothing of them.

    Raises:
        ImportError: transformers is not installed.
        CheckpointError: another layout, or tensors missing, too many or of another shape.
        OSError: a file is missing.
    """
    layout = layout or HubertLayout()
    _check_layout(folder / "config.json", layout)
    _check_preprocessor(folder / "preprocessor_config.json")
    names = ("model.safetensors", "pytorch_model.bin")
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    if path is None:
        raise FileNotFoundError(f"{folder}: holds neither {' nor '.join(names)}")
    with torch.device("meta"):
        hubert = Hubert(layout)
    hubert.load(read_checkpoint(path).tensors, str(path))
    return hubert


_RENAMED = {  # weight norm, as older and newer versions of PyTorch write it
    "encoder.pos_conv_embed.conv.weight_g": "parametrizations.weight.original0",
    "encoder.pos_conv_embed.conv.weight_v": "parametrizations.weight.original1",
}


def _renamed(key: str) -> str:
    key = key.removeprefix("hubert.")
    if key in _RENAMED:
        return f"{key.rpartition('.')[0]}.{_RENAMED[key]}"
    return key


def _build(layout: HubertLayout) -> Any:
    try:
        from transformers import HubertConfig, HubertModel
    except ImportError as error:
        raise ImportError(
            "HuBERT features need transformers: pip install 'vivavoce[hubert]'"
        ) from error
    settings: dict[str, Any] = {
        k: list(v) if isinstance(v, tuple) else v for k, v in asdict(layout).items()
    }
    return HubertModel(HubertConfig(**settings))


def _check_layout(path: Path, layout: HubertLayout) -> None:
    """Hold `config.json` to the layout; what it says about training is of no interest."""
    config = _json(path)
    for name in ("auto_map", "quantization_config", "adapter_attn_dim"):
        if config.get(name) is not None:
            raise CheckpointError(f"{path}: {name} is set, which is not supported")
    if config.get("model_type") != "hubert":
        raise CheckpointError(f"{path}: model_type is {config.get('model_type')!r}, not 'hubert'")
    if config.get("conv_pos_batch_norm"):
        raise CheckpointError(f"{path}: conv_pos_batch_norm is set, expected weight norm")
    defaults = {"feat_proj_layer_norm": True}  # younger than some published files
    for field in fields(layout):
        wanted = getattr(layout, field.name)
        found = config.get(field.name, defaults.get(field.name))
        if (tuple(found) if isinstance(found, list) else found) != wanted:
            raise CheckpointError(
                f"{path}: {field.name} is {found!r}, expected {wanted!r}; "
                "the generators were trained on HuBERT-large"
            )


def _check_preprocessor(path: Path) -> None:
    if not path.is_file():
        return
    config = _json(path)
    for name, wanted in (("sampling_rate", SAMPLE_RATE_HZ), ("do_normalize", True)):
        if config.get(name, wanted) != wanted:
            raise CheckpointError(f"{path}: {name} is {config[name]!r}, expected {wanted!r}")


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # not JSON, or not UTF-8
        raise CheckpointError(f"{path}: not readable as JSON: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: holds no settings")
    return content
