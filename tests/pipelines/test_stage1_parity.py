"""Stage 1 of AniTalker: imported from a file laid out as published, equal to the published numbers.

Tensors of the fixture are thinned, and come with mean, deviation and extremes of the whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.baseline import naive_renderer as naive
from pipelines.anitalker.batched import BatchedNetwork
from pipelines.anitalker.config import OFFICIAL, Precision
from pipelines.anitalker.encoder import IdentityHead
from pipelines.anitalker.network import Encoded, FlowWarp
from pipelines.checkpoints import load_weights
from pipelines.import_weights import import_checkpoint
from tests.support.fill import fill, fixture, relative_error

TOLERANCE = 1e-5
ROUNDINGS = 1 + 3 * len(OFFICIAL.level_sizes)
"""Of features on their way to the finest picture: the first convolution, then of each level its two
convolutions and the mix with the source. One in bfloat16, of 8 bits, is off by 2^-8 at the most."""


@dataclass(frozen=True)
class Stage1:
    model: FlowWarp
    published: dict[str, Tensor]  # keys as published
    arrays: dict[str, np.ndarray]  # of the fixture
    encoded: Encoded
    inner: dict[str, Tensor]  # of the encoder, by the fixture's names

    def given(self, key: str) -> Tensor:
        return torch.from_numpy(self.arrays[key])


def picture(arrays: dict[str, np.ndarray]) -> Tensor:
    """The fixture's picture, [1, 3, 256, 256] in [-1, 1]."""
    image = torch.from_numpy(arrays["in.image"]).permute(2, 0, 1)[None].float()
    return (image / 255.0 - 0.5) * 2.0


@pytest.fixture(scope="module")
def stage1(tmp_path_factory: pytest.TempPathFactory) -> Stage1:
    folder: Path = tmp_path_factory.mktemp("weights")
    published, arrays = fill("stage1"), fixture("stage1")
    torch.save({f"lia.{key}": value for key, value in published.items()}, folder / "stage1.ckpt")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIVAVOCE_WEIGHTS", str(folder))
        import_checkpoint(folder / "stage1.ckpt", "published")
        tensors, _ = load_weights("published")
    model = FlowWarp(OFFICIAL).eval()
    model.load_state_dict(tensors)
    inner: dict[str, Tensor] = {}
    parts = [model.encoder.entry, *model.encoder.blocks, model.encoder.exit]
    handles = [keep(part, f"enc.conv{i}", inner) for i, part in enumerate(parts)]
    handles.append(keep(model.motion.leave_identity, "enc.motion512", inner))
    with torch.inference_mode():
        encoded = model.encode(picture(arrays))
    for handle in handles:
        handle.remove()
    return Stage1(model, published, arrays, encoded, inner)


def keep(
    module: nn.Module, name: str, found: dict[str, Tensor], which: int | None = None
) -> torch.utils.hooks.RemovableHandle:
    """Note what a module gives, or item `which` of it."""

    def hook(_module: nn.Module, _inputs: tuple[Tensor, ...], out: Tensor) -> None:
        found[name] = out if which is None else out[which]

    return module.register_forward_hook(hook)


def described(found: dict[str, Tensor]) -> dict[str, Tensor | np.ndarray]:
    """Thinned tensors, as the fixture has them, and their statistics."""
    result: dict[str, Tensor | np.ndarray] = {}
    for name, value in found.items():
        _, channels, height, _ = value.shape
        pixels = max(1, height // 16)
        result[f"{name}.sub"] = value[0, :: max(1, channels // 8), ::pixels, ::pixels]
        whole = value.double()
        stats = [whole.mean(), whole.std(correction=0), whole.min(), whole.max()]
        result[f"{name}.stats"] = torch.stack(stats)
    return result


def check(found: dict[str, Tensor | np.ndarray], arrays: dict[str, np.ndarray]) -> None:
    """Every one is within the tolerance of the fixture's array of that name."""
    errors = {name: relative_error(value, arrays[name]) for name, value in found.items()}
    assert not {name: error for name, error in errors.items() if error > TOLERANCE}


@torch.inference_mode()
def test_encoder(stage1: Stage1) -> None:
    maps = {name: value for name, value in stage1.inner.items() if name != "enc.motion512"}
    found = described(maps) | {
        "enc.h": stage1.encoded.start,
        "start": stage1.encoded.start,
        "enc.motion512": stage1.inner["enc.motion512"],
        "alpha.source": stage1.encoded.code,
    }
    check(found, stage1.arrays)
    sizes = [tuple(value.shape[1:]) for value in stage1.encoded.maps]
    pairs = zip(OFFICIAL.level_widths, OFFICIAL.level_sizes, strict=True)
    assert sizes == [(width, size, size) for width, size in pairs]


@torch.inference_mode()
def test_naive_order(stage1: Stage1) -> None:
    """The reference of other tests is itself held to the published numbers."""
    maps, start = naive.encode(stage1.model.encoder, picture(stage1.arrays))
    code = naive.motion_code(stage1.model.motion, start)
    image = naive.generate(stage1.model.generator, maps, start, stage1.given("alpha.a"))
    check({"start": start, "alpha.source": code, "image.a": image[0]}, stage1.arrays)


@pytest.mark.parametrize(
    ("precision", "largest", "mean"),
    [("float32", 1e-5, 1e-6), ("bfloat16", ROUNDINGS * 2.0**-8, 1e-3)],
)
def test_cached_renderer(stage1: Stage1, precision: Precision, largest: float, mean: float) -> None:
    """Two slots, each with a motion of its own; errors as shares of the largest value."""
    renderer = BatchedNetwork(stage1.model, 2, precision=precision)
    baked = renderer.bake(picture(stage1.arrays)[0])
    check({"start": baked["start"][None], "alpha.source": baked["code"][None]}, stage1.arrays)
    for slot in range(2):
        renderer.set(slot, baked)
    codes = torch.cat([stage1.given("alpha.b"), stage1.given("alpha.a")])
    images = renderer.render(codes, [0, 1])
    for found, name in ((images[0, :, ::4, ::4], "image.b"), (images[1], "image.a")):
        expected = stage1.given(name).clamp(-1.0, 1.0)
        error = (found - expected).abs() / expected.abs().max()
        assert error.max() <= largest
        assert error.mean() <= mean


@torch.inference_mode()
def test_identity_branch(stage1: Stage1) -> None:
    head = IdentityHead(OFFICIAL)
    nets = {"identity": head.identity, "identity_density": head.density}
    for name, net in nets.items():
        prefix = f"enc.net_decouping.{name.replace('identity', 'identity_net', 1)}."
        part = {k: v for k, v in stage1.published.items() if k.startswith(prefix)}
        net.load_state_dict({key.removeprefix(prefix): value for key, value in part.items()})
    identity, density = head(stage1.encoded.start)
    check({"enc.identity": identity, "enc.identity_density": density}, stage1.arrays)


@torch.inference_mode()
def test_generator(stage1: Stage1) -> None:
    generator, inner = stage1.model.generator, {}
    handles = [keep(generator.first, "dec.conv1", inner)]
    for i, level in enumerate(generator.levels):
        handles.append(keep(level.up, f"dec.convs{2 * i}", inner))
        handles.append(keep(level.plain, f"dec.convs{2 * i + 1}", inner))
        handles.append(keep(level, f"dec.flow{i}.out", inner, 0))
        handles.append(keep(level.flow, f"dec.flow{i}.flow", inner))
        handles.append(keep(level.rgb, f"dec.rgb{i}", inner))
        handles.append(
            level.rgb.register_forward_pre_hook(
                lambda _module, inputs, i=i: inner.update({f"dec.flow{i}.warp": inputs[0]})
            )
        )
    maps, start, _ = stage1.encoded
    image = generator(maps, start, stage1.given("alpha.a"))
    for handle in handles:
        handle.remove()
    found = described(inner)
    found["dec.basis"] = generator.basis()
    found["dec.latent.a"] = generator.latent(start, stage1.given("alpha.a"))
    found["image.a"] = image[0]
    found["image.a.stats"] = described({"x": image})["x.stats"]
    assert set(found) == {key for key in stage1.arrays if key.startswith(("dec.", "image.a"))}
    check(found, stage1.arrays)


@torch.inference_mode()
def test_other_pictures(stage1: Stage1) -> None:
    """Two codes at once, one of them the source's own."""
    maps, start, code = stage1.encoded
    codes = torch.cat([code, stage1.given("alpha.b")])
    both = stage1.model.generator([x.expand(2, -1, -1, -1) for x in maps], start, codes)
    found = {}
    for name, image in zip(("image.self", "image.b"), both, strict=True):
        found[name] = image[:, ::4, ::4]
        found[f"{name}.stats"] = described({"x": image[None]})["x.stats"]
    check(found, stage1.arrays)
