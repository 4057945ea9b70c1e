"""The cached, batched renderer shows what the original order of computing shows."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from benchmarks.baseline import naive_renderer as naive
from pipelines.anitalker import batched as cached
from pipelines.anitalker.batched import BatchedNetwork
from pipelines.anitalker.config import SMALL, Precision, RendererConfig
from pipelines.anitalker.network import FlowWarp
from pipelines.anitalker.winograd import Winograd

SLOTS = 4
TINY = RendererConfig(size=32, widths=(6, 8, 10, 12), latent_dim=12, motion_dim=5, motion_layers=2)
WIDE = RendererConfig(  # uses Winograd
    size=16, widths=(192, 200, 8), latent_dim=16, motion_dim=4, paints=True
)
TOLERANCE = 1e-5  # of the largest value


def random_model(config: RendererConfig, seed: int = 0) -> FlowWarp:
    """Random weights, with gentle flows as in trained ones, which do not amplify rounding."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = FlowWarp(config)
        with torch.no_grad():
            for name, value in model.named_parameters():
                if "bias" in name and "modulation" not in name:
                    value.normal_(0.0, 0.1)
            for level in model.generator.levels:
                level.flow.weight.mul_(0.2)
                level.rgb.colours.weight.mul_(0.3)
    return model.eval()


def picture(config: RendererConfig, seed: int) -> Tensor:
    """A smooth picture [3, size, size] in [-1, 1]."""
    random = torch.Generator().manual_seed(seed)
    axis = torch.linspace(0.0, 1.0, config.size)
    waves = torch.rand(3, 4, 3, generator=random) * 2.0 - 1.0
    x, y = 8.0 * waves[..., 0, None, None] * axis, 8.0 * waves[..., 1, None, None] * axis[:, None]
    return torch.sin(x + y + math.pi * waves[..., 2, None, None]).mean(1)


def codes(config: RendererConfig, count: int, seed: int) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.rand(count, config.motion_dim, generator=random) * 2.0 - 1.0


def difference(found: Tensor, expected: Tensor) -> float:
    """Largest, over the largest value expected."""
    assert found.shape == expected.shape
    return float((found - expected).abs().max() / expected.abs().max())


@torch.inference_mode()
def naively(model: FlowWarp, pictures: Tensor, motion: Tensor) -> Tensor:
    return naive.render(model, pictures, motion).clamp(-1.0, 1.0)


@pytest.fixture(scope="module", params=[TINY, WIDE], ids=["tiny", "wide"])
def model(request: pytest.FixtureRequest) -> FlowWarp:
    return random_model(request.param)


@pytest.fixture(scope="module")
def renderer(model: FlowWarp) -> BatchedNetwork:
    return BatchedNetwork(model, SLOTS)


@settings(max_examples=25, deadline=None)
@given(
    shown=st.permutations(range(SLOTS)).flatmap(
        lambda order: st.integers(1, SLOTS).map(lambda count: order[:count])
    ),
    faces=st.lists(st.integers(0, 5), min_size=SLOTS, max_size=SLOTS),
    seed=st.integers(0, 99),
)
def test_any_slots_with_any_faces_show_what_the_naive_order_shows(
    model: FlowWarp, renderer: BatchedNetwork, shown: list[int], faces: list[int], seed: int
) -> None:
    config = model.config
    for slot, face in enumerate(faces):
        renderer.set(slot, renderer.bake(picture(config, face)))
    motion = codes(config, len(shown), seed)
    pictures = torch.stack([picture(config, faces[slot]) for slot in shown])
    assert difference(renderer.render(motion, shown), naively(model, pictures, motion)) <= TOLERANCE


def test_another_identity_is_seen_from_the_next_frame_in_its_slot_alone(
    model: FlowWarp, renderer: BatchedNetwork
) -> None:
    config, slots = model.config, [0, 1, 2]
    for slot in slots:
        renderer.set(slot, renderer.bake(picture(config, slot)))
    motion = codes(config, 3, 1)
    before = renderer.render(motion, slots)
    renderer.set(1, renderer.bake(picture(config, 7)))
    after = renderer.render(motion, slots)
    assert torch.equal(before[[0, 2]], after[[0, 2]])
    assert difference(after[1], before[1]) > 0.05
    expected = naively(model, picture(config, 7)[None], motion[1:2])
    assert difference(after[1:2], expected) <= TOLERANCE


def test_photos_of_one_tone_are_drawn_in_it(model: FlowWarp, renderer: BatchedNetwork) -> None:
    coloured = picture(model.config, 0)
    grey = coloured.mean(0, keepdim=True).expand(3, -1, -1)
    tint, shift = torch.tensor([[0.9], [0.7], [0.5]]), torch.tensor([[0.05], [0.0], [-0.1]])
    sepia = grey * tint[..., None] + shift[..., None]
    for slot, source in enumerate((coloured, grey, sepia)):
        renderer.set(slot, renderer.bake(source))
    shown = renderer.render(codes(model.config, 3, 2), [0, 1, 2])
    assert float((shown[0] - shown[0].mean(0)).abs().max()) > 0.1
    assert difference(shown[1], shown[1].mean(0).expand(3, -1, -1)) <= TOLERANCE
    light = ((shown[2] - shift[..., None]) / tint[..., None])[:, (shown[2].abs() < 1.0).all(0)]
    assert difference(light, light.mean(0).expand(3, -1)) <= TOLERANCE


def test_trained_order_is_the_naive_one(model: FlowWarp) -> None:
    pictures = torch.stack([picture(model.config, 0), picture(model.config, 1)])
    with torch.inference_mode():
        found = model(pictures, pictures.flip(0))
        _, start = naive.encode(model.encoder, pictures.flip(0))
        code = naive.motion_code(model.motion, start)
        assert difference(found, naive.render(model, pictures, code)) <= TOLERANCE


def test_baked_codes_are_those_of_the_encoder(model: FlowWarp, renderer: BatchedNetwork) -> None:
    baked = renderer.bake(picture(model.config, 3))
    with torch.inference_mode():
        encoded = model.encode(picture(model.config, 3)[None])
    assert torch.equal(baked["start"], encoded.start[0])
    assert difference(baked["code"], encoded.code[0]) <= TOLERANCE
    assert {value.dtype for value in baked.values()} == {torch.float32}


def test_a_known_rest_takes_the_place_of_the_code_that_is_read(model: FlowWarp) -> None:
    model = copy.deepcopy(model)
    model.rest = torch.arange(model.config.motion_dim) / 7.0
    baked = BatchedNetwork(model, 1).bake(picture(model.config, 3))
    assert torch.equal(baked["code"], model.rest)
    assert "rest" not in model.state_dict()  # which published weights do not have


@pytest.mark.parametrize(("precision", "most"), [("bfloat16", 0.1), ("float16", 0.015)])
def test_half_precisions_come_close(precision: Precision, most: float) -> None:
    model = random_model(SMALL)
    exact, rough = BatchedNetwork(model, 1), BatchedNetwork(model, 1, precision=precision)
    for renderer in (exact, rough):
        renderer.set(0, exact.bake(picture(SMALL, 0)))
    motion = codes(SMALL, 1, 0)
    error = (exact.render(motion, [0]) - rough.render(motion, [0])).abs()
    assert 0.0 < error.max() < most
    assert error.mean() < most / 10


@pytest.mark.parametrize("shape", [(1, 3, 4, 4), (2, 5, 8, 12), (1, 130, 16, 16)])
def test_winograd_is_the_plain_convolution(shape: tuple[int, ...]) -> None:
    random = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=random)
    kernel = torch.randn(7, shape[1], 3, 3, generator=random)
    expected = torch.conv2d(x.double(), kernel.double(), padding=1)
    assert difference(Winograd(kernel)(x).double(), expected) <= TOLERANCE


def test_training_may_convolve_in_half_precision(model: FlowWarp) -> None:
    """Flows and pictures stay float32, so that only rounding of features is seen."""
    pictures = torch.stack([picture(model.config, 0), picture(model.config, 1)])
    with torch.no_grad():
        expected = model(pictures, pictures.flip(0))
        with torch.autocast("cpu", torch.bfloat16):
            found = model(pictures, pictures.flip(0))
    assert found.dtype is torch.float32
    assert 1e-4 < difference(found, expected) < 0.1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("precision", "most"), [("float32", 1e-4), ("bfloat16", 0.1)])
def test_a_gpu_shows_what_the_cpu_shows(
    model: FlowWarp, monkeypatch: pytest.MonkeyPatch, precision: Precision, most: float
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    on_cpu = BatchedNetwork(model, SLOTS)
    on_gpu = BatchedNetwork(copy.deepcopy(model), SLOTS, precision=precision, device="cuda")
    for slot in range(SLOTS):
        on_cpu.set(slot, on_cpu.bake(picture(model.config, slot)))
        on_gpu.set(slot, on_gpu.bake(picture(model.config, slot)))
    motion, shown = codes(model.config, 3, 0), [3, 0, 2]
    assert difference(on_gpu.render(motion, shown).cpu(), on_cpu.render(motion, shown)) <= most


def test_every_parameter_is_trained(model: FlowWarp) -> None:
    pictures = torch.stack([picture(model.config, 0), picture(model.config, 1)])
    model(pictures, pictures.flip(0)).square().mean().backward()
    assert [name for name, value in model.named_parameters() if not value.grad.any()] == []


def test_no_slots_make_no_pictures(model: FlowWarp, renderer: BatchedNetwork) -> None:
    size = model.config.size
    assert renderer.render(codes(model.config, 0, 0), []).shape == (0, 3, size, size)


def test_large_batches_are_cut_on_a_cpu(model: FlowWarp, renderer: BatchedNetwork) -> None:
    """Slots that no longer fit the caches are computed one after another, to the same end."""
    for slot in range(SLOTS):
        renderer.set(slot, renderer.bake(picture(model.config, slot)))
    motion = codes(model.config, SLOTS, 0)
    whole = renderer.render(motion, list(range(SLOTS)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cached, "_CPU_VALUES", 1)
        cut = renderer.render(motion, list(range(SLOTS)))
    assert difference(cut, whole) <= TOLERANCE


def test_what_does_not_fit_is_refused(model: FlowWarp, renderer: BatchedNetwork) -> None:
    baked = renderer.bake(picture(model.config, 0))
    with pytest.raises(ValueError, match=r"slot 4 of 4"):
        renderer.set(4, baked)
    with pytest.raises(ValueError, match=r"styles: expected \[\d+\], found nothing"):
        renderer.set(0, {name: value for name, value in baked.items() if name != "styles"})
    with pytest.raises(ValueError, match=r"0.map: expected"):
        renderer.set(0, baked | {"0.map": baked["0.map"][:-1]})
    with pytest.raises(ValueError, match=r"slots \[-1\] of 4"):
        renderer.render(codes(model.config, 1, 0), [-1])
    with pytest.raises(ValueError, match=r"for 2 slots"):
        renderer.render(codes(model.config, 1, 0), [0, 1])
    with pytest.raises(ValueError, match=r"expected \[B, 3"):
        renderer.bake(torch.zeros(3, 8, 8))


@pytest.mark.parametrize(
    ("size", "widths", "words"),
    [(100, (4,) * 6, "power of two"), (64, (4, 4), "2 widths for 64 px"), (4, (4,), "from 8 on")],
)
def test_sizes_that_do_not_work_are_refused(size: int, widths: tuple[int, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        RendererConfig(size=size, widths=widths)


def test_what_hides_the_source_is_painted_and_nothing_else() -> None:
    model, shown = random_model(WIDE), {}
    source = picture(WIDE, 0)
    finest = model.generator.levels[-1]
    with torch.no_grad():
        for logit in (-40.0, 40.0):  # of every mask
            finest.flow.weight[2], finest.flow.bias[2] = 0.0, logit
            for level in model.generator.levels[:-1]:
                level.flow.weight[2], level.flow.bias[2] = 0.0, 0.0
            for bias in (0.0, 0.25):
                finest.paint.bias.fill_(bias)
                maps, start, code = model.encode(source[None])
                shown[logit, bias] = model.generator(maps, start, code)
    assert torch.allclose(shown[-40.0, 0.25], shown[-40.0, 0.0] + 0.25, atol=1e-6)
    assert torch.equal(shown[40.0, 0.25], shown[40.0, 0.0])


def test_a_renderer_elsewhere_leaves_the_model_where_it_is():
    model = random_model(TINY)
    here = BatchedNetwork(model, 1)
    BatchedNetwork(model, 1, device="meta")
    assert {part.device.type for part in model.parameters()} == {"cpu"}
    here.set(0, here.bake(picture(TINY, 0)))
    assert here.render(codes(TINY, 1, 0), [0]).isfinite().all()
