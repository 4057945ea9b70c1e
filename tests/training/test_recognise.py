"""The twin of dlib's recognition network: its file, its maps, where it looks, its gradients."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pipelines.swaptalk.vqgan.crop import face_square
from training.recognise.__main__ import convert
from training.recognise.network import CHIP, FaceNetwork
from training.recognise.recogniser import VARIABLE, Recogniser, recogniser
from training.swaptalk.vqgan.__main__ import _named


def _integer(value: int) -> bytes:
    held = value.to_bytes(4, "little").rstrip(b"\0")
    return bytes([len(held)]) + held


def _layer(name: str, numbers: Tensor, before: tuple[int, ...] = ()) -> bytes:
    """As dlib writes it, with what follows the numbers left out."""
    head = b"".join(map(_integer, (*before, 2, numbers.numel(), 1, 1, 1)))
    return b"\x01" + _integer(len(name))[1:] + name.encode() + head + numbers.numpy().tobytes()


def _dlib_layers(network: FaceNetwork) -> list[bytes]:
    """A file whose convolutions have a gain of 2 and an offset of 0.1 behind them."""
    layers = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            assert module.bias is not None
            own = torch.cat([module.weight.flatten(), module.bias]).detach()
            count = module.out_channels
            affine = torch.cat([torch.full((count,), 2.0), torch.full((count,), 0.1)])
            layers += [_layer("con_4", own), _layer("affine_", affine)]
    last = network.last.weight.detach().T.contiguous()
    return [*layers, _layer("fc_2", last.flatten(), (128, 256))]


@pytest.fixture(scope="module")
def network() -> FaceNetwork:
    torch.manual_seed(0)
    return FaceNetwork()


@pytest.fixture(scope="module")
def weights(network: FaceNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "recogniser.safetensors"
    save_file(network.state_dict(), path)
    return path


def test_dlibs_file_is_read(network: FaceNetwork, tmp_path: Path) -> None:
    made = load_file(convert(b"\x01\x01head" + b"tail".join(_dlib_layers(network)), tmp_path))
    assert made.keys() == network.state_dict().keys()
    for name, value in network.state_dict().items():
        wanted = value if name == "last.weight" else 2.0 * value + 0.1 * name.endswith("bias")
        torch.testing.assert_close(made[name], wanted, msg=name)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (lambda layers: layers[:-1], "layer none, wanted fc_2"),
        (lambda layers: layers[2:], "a layer of 9248 numbers, not 4736"),
        (lambda layers: layers[1:], "layer affine_, wanted con_4"),
        (lambda layers: [*layers[:-1], layers[-1][:-4]], "no tensor"),
        (lambda layers: [*layers, layers[0]], "a further layer con_4"),
        (lambda layers: [b"\x89PNG"], "layer none, wanted con_4"),
    ],
)
def test_another_file_is_refused(
    fault: object, says: str, network: FaceNetwork, tmp_path: Path
) -> None:
    assert callable(fault)
    with pytest.raises(ValueError, match=f"not dlib's face recognition network: .*{says}"):
        convert(b"".join(fault(_dlib_layers(network))), tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_is_smaller_is_padded_with_zeros(network: FaceNetwork) -> None:
    block = network.blocks[10]  # 128 channels of 8 x 8 to 256: 3 x 3 beside a way past of 4 x 4
    maps = torch.rand(1, 128, 8, 8)
    with torch.no_grad():
        made = block(maps)
        beside = block.second(F.relu(block.first(maps)))  # type: ignore[operator]
    assert beside.shape == (1, 256, 3, 3)
    assert made.shape == (1, 256, 4, 4)
    torch.testing.assert_close(made[:, :128, 3], F.avg_pool2d(maps, 2)[:, :, 3])
    assert not made[:, 128:, 3].any()
    torch.testing.assert_close(made[:, 128:, :3, :3], F.relu(beside[:, 128:]))


@pytest.mark.parametrize("size", [96, 150, 256, 512])
def test_eyes_and_mouth_come_where_dlib_has_them(size: int, network: FaceNetwork) -> None:
    """A square whose red says how far right a pixel is, and whose green how far down."""
    line = (torch.arange(size) + 0.5) / size * 2.0 - 1.0
    down, right = torch.meshgrid(line, line, indexing="ij")
    chip = Recogniser(network).chips(torch.stack([right, down, 0 * down])[None])[0]
    found = chip[:2].reshape(2, -1) / 127.5 - 1.0  # [2, pixels of the chip]
    points = torch.tensor([[[0.0, 1.0], [-0.435, 0.0], [0.435, 0.0]]])  # mouth, eyes, of a face
    square = face_square(points)[0]
    places = torch.linalg.solve(square[:, :2], (points[0] - square[:, 2]).T)  # in the square
    for place, wanted in zip(places.T, [(74, 103), (48, 47), (100, 47)], strict=True):
        nearest = int((found - place[:, None]).square().sum(0).argmin())
        x, y = nearest % CHIP, nearest // CHIP
        assert abs(x - wanted[0]) <= 2, (place, x, y)
        assert abs(y - wanted[1]) <= 3, (place, x, y)


def test_vectors_are_of_length_one_and_of_the_face_alone(network: FaceNetwork) -> None:
    torch.manual_seed(1)
    recognise = Recogniser(network)
    pictures = torch.rand(2, 3, 64, 64) * 2.0 - 1.0
    vectors = recognise(pictures)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))
    framed = pictures.clone()
    framed[..., :2], framed[..., -2:] = 1.0, 1.0  # outside the chip
    torch.testing.assert_close(recognise(framed), vectors)
    turned = recognise(pictures.flip(3))
    assert not torch.allclose(turned, vectors, atol=1e-4)
    with pytest.raises(ValueError, match=r"squares \[N, 3, S, S\]"):
        recognise(pictures[:, :, 1:])


def test_gradients_reach_the_picture_and_no_weight(network: FaceNetwork) -> None:
    recognise = Recogniser(network).train()
    assert not recognise.training
    pictures = torch.zeros(1, 3, 64, 64, requires_grad=True)
    recognise(pictures)[0, 0].backward()
    assert pictures.grad is not None
    assert pictures.grad[0, :, 20:40, 20:40].abs().min() > 0.0
    assert not any(parameter.requires_grad for parameter in recognise.parameters())


def test_a_file_is_found_or_asked_for(
    weights: Path, network: FaceNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = torch.zeros(1, 3, 32, 32)
    wanted = Recogniser(network)(pictures)
    torch.testing.assert_close(recogniser(weights)(pictures), wanted)
    named = "training.recognise.recogniser:recogniser"
    monkeypatch.setenv(VARIABLE, str(weights))
    torch.testing.assert_close(_named(named)(pictures), wanted)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "none"))
    with pytest.raises(SystemExit, match=r"python -m training\.recognise --out"):
        _named(named)


@pytest.mark.skipif(VARIABLE not in os.environ, reason=f"{VARIABLE} names no weights")
def test_descriptors_are_dlibs() -> None:
    """What dlib 20.0 says of a picture that a formula draws; of 12 portraits 4e-7 at most."""
    y, x = torch.meshgrid(torch.arange(CHIP), torch.arange(CHIP), indexing="ij")
    chip = torch.stack([(7 * x + 3 * y) % 256, x * y // 16 % 256, (255 - x) * (y > 40)])
    with torch.no_grad():
        described = recogniser().network(chip[None].float())[0]
    dlibs = [-0.097346, 0.100799, 0.049533, -0.03199, -0.067236, -0.061436, -0.0863, -0.03113]
    torch.testing.assert_close(described[:8], torch.tensor(dlibs), atol=2e-6, rtol=0.0)
    assert float(described.norm()) == pytest.approx(1.301000, abs=1e-5)
