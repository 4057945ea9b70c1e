"""VQGANs: imported from tensors laid out as published, equal to the published numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pipelines.checkpoints import Checkpoint
from pipelines.swaptalk.vqgan.config import PUBLIC
from pipelines.swaptalk.vqgan.import_vqgan import convert, layout_of
from pipelines.swaptalk.vqgan.network import Vqgan
from tests.support.fill import filled, fixture, keys_of, relative_error
from training.swaptalk.vqgan.losses import quantisation_loss

FILES = {  # fixtures by the layout that they are of; within one, codebooks differ
    "f16_1024": ("f16_1024", "f16_16384"),
    "f8_256": ("f8_256", "f8_16384"),
    "gumbel_f8": ("gumbel_f8",),
}
CASES = [(layout, file) for layout, files in FILES.items() for file in files]
BOOK = "quantize.embedding.weight"


@dataclass
class Filled:
    """The tensors of one published file, and the network they were imported into."""

    tensors: dict[str, Tensor]
    model: Vqgan

    def of(self, file: str) -> Vqgan:
        """The network with the codebook of that fixture."""
        if BOOK in self.tensors:
            codes = int(file.split("_")[1])
            book = filled(BOOK, ("weight", (codes, self.model.config.code_dim), 1.0))
            self.model.quantize.embedding = torch.nn.Embedding.from_pretrained(book)
        return self.model


@pytest.fixture(scope="module", params=FILES)
def published(request: pytest.FixtureRequest) -> tuple[str, Filled]:
    """One layout at a time: each has about 70 million weights."""
    tensors = {key: filled(key, entry) for key, entry in keys_of(request.param, "vqgan").items()}
    extra = {"loss.discriminator.main.0.bias": torch.ones(64)}
    ours, said = convert(Checkpoint(Path("last.ckpt"), tensors | extra))
    assert said["variant"].replace("-", "_") == request.param
    with torch.device("meta"):
        model = Vqgan(PUBLIC[said["variant"]])
    model.load_state_dict(ours, assign=True)
    return request.param, Filled(ours, model.eval().requires_grad_(False))


def test_a_published_vqgan(published: tuple[str, Filled]) -> None:
    layout, found = published
    for file in FILES[layout]:
        check(found.of(file), fixture(file, "vqgan"))


def check(model: Vqgan, arrays: dict[str, np.ndarray]) -> None:
    given = {key: torch.from_numpy(value) for key, value in arrays.items()}
    z = model.encode(given["input"])
    assert relative_error(z, arrays["pre_quant"]) <= 1e-5
    values, indices = model.quantise(given["pre_quant"])
    assert indices.flatten().tolist() == arrays["indices"].flatten().tolist()
    assert relative_error(values, arrays["quant"]) <= 1e-6
    assert model.quantise(z).indices.equal(indices)
    if "codebook_loss_legacy" in arrays:
        loss = float(quantisation_loss(given["pre_quant"], values))
        assert loss == pytest.approx(float(arrays["codebook_loss_legacy"]), rel=1e-5)
    for which, picture in (("indices", "dec"), ("indices2", "dec2")):
        if which in arrays:
            codes = given[which].view(1, *z.shape[2:])
            error = (model.decode(model.look_up(codes)) - given[picture]).abs().max()
            assert float(error) <= 1e-4


@pytest.mark.parametrize("published", ["f16_1024"], indirect=True, scope="module")
def test_half_a_face(published: tuple[str, Filled]) -> None:
    """Alone, and as either half of a whole one, both coded apart."""
    layout, found = published
    model, arrays = found.of(layout), fixture("f16_1024_half", "vqgan")
    picture, wanted = torch.from_numpy(arrays["input"]), torch.from_numpy(arrays["dec"])
    z = model.encode(picture)
    assert relative_error(z, arrays["pre_quant"]) <= 1e-5
    indices = torch.from_numpy(arrays["indices"]).view(1, 4, 8)
    assert model.quantise(z).indices.equal(indices)
    assert float((model.decode(model.look_up(indices)) - wanted).abs().max()) <= 1e-4
    whole = model.encode_halves(torch.cat([picture, picture], 2))
    for half in whole.chunk(2, 2):
        assert relative_error(half, arrays["pre_quant"]) <= 1e-5


@pytest.mark.parametrize(("layout", "file"), CASES)
def test_the_layout_is_told_by_the_shapes(layout: str, file: str) -> None:
    shapes = {key: shape for key, (_, shape, _) in keys_of(layout, "vqgan").items()}
    if BOOK in shapes:
        shapes[BOOK] = (int(file.split("_")[1]), shapes[BOOK][1])
    config = layout_of(shapes)
    assert config == PUBLIC[file.replace("_", "-")]
    with torch.device("meta"):
        state = Vqgan(config).state_dict()
    assert {key: tuple(value.shape) for key, value in state.items()} == shapes
