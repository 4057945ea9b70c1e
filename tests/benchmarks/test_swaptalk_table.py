"""The table of swaptalk: what each row shows, how lips are read, what flickers, what is written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

pytest.importorskip("mediapipe")

from benchmarks.avatars import CAST
from benchmarks.lips.figures import Count
from benchmarks.swaptalk.clips import SIDE, Person, head, people, speech
from benchmarks.swaptalk.flicker import jitter, mouth_area, recoded
from benchmarks.swaptalk.measured import Judge, Row, Truth
from benchmarks.swaptalk.methods import (
    LATENT,
    NONE,
    OURS,
    PIXELS,
    SWAP,
    SWAP_SYNC,
    SYNC_SWAP,
    PixelFaces,
    Template,
    play,
)
from benchmarks.swaptalk.networks import load_networks
from benchmarks.swaptalk.run import main
from benchmarks.swaptalk.sync import believe, meshes, read_sync
from benchmarks.swaptalk.table import COLUMNS, flicker_table, table
from pipelines.motion.space import BLENDSHAPES, MOTION_DIM
from pipelines.swaptalk.config import EarConfig, ExpertConfig
from pipelines.swaptalk.expert import SyncExpert
from pipelines.swaptalk.faces import LatentFaces
from tests.support.tiny_swaptalk import tiny_networks, tiny_swap, write_weights
from training.flow_warp.store import Clip, write_clip
from training.swaptalk.pixels.network import PixelConfig, PixelLips

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

TINY = PixelConfig(
    size=64, patch=4, warp_patch=8, ear=EarConfig(ahead=0, width=16, tokens=3),
    warp_widths=(8, 8, 8), widths=(12, 12, 12), heads=2,
)  # fmt: skip
FRAMES = 12
SMALL = 64


def _latent(margin: float = 0.1) -> LatentFaces:
    space, lips = tiny_networks()
    nets = (each.requires_grad_(False) for each in (space, lips))
    return LatentFaces(*nets, margin, tiny_swap())


def _pixels() -> PixelFaces:
    torch.manual_seed(0)
    network = PixelLips(TINY)
    torch.nn.init.normal_(network.transform.leave.weight, std=0.3)
    return PixelFaces(network.eval().requires_grad_(False))


def _squares(count: int, seed: int) -> Tensor:
    torch.manual_seed(seed)
    return torch.rand(count, 3, SMALL, SMALL) * 2.0 - 1.0


# Methods


def test_each_row_is_its_own_order_of_swap_and_lips() -> None:
    latent, pixels, target, source = _latent(), _pixels(), _squares(4, 1), _squares(1, 2)
    motion = torch.rand(4, MOTION_DIM)
    made = Template(latent, pixels, target, 2, source).draw(motion)
    assert set(made) == {NONE, PIXELS, LATENT, SWAP, SYNC_SWAP, SWAP_SYNC, OURS}
    seen, half = target * 0.5 + 0.5, SMALL // 2
    torch.testing.assert_close(made[NONE], seen)
    for name in (PIXELS, LATENT):
        assert torch.equal(made[name][:, :, :half], made[NONE][:, :, :half])
        assert not torch.allclose(made[name][:, :, half:], made[NONE][:, :, half:])
    key = latent.encode(source)
    swapped = latent.swap(key, latent.encode(target))
    torch.testing.assert_close(made[SWAP], latent.whole(swapped))
    for name in (OURS, SWAP_SYNC):
        torch.testing.assert_close(made[name][:, :, :half], made[SWAP][:, :, :half])
    ours = play(latent, latent.prepare(swapped, swapped[2:3]), motion)
    torch.testing.assert_close(made[OURS][:, :, half:], ours)
    shown = made[SWAP] * 2.0 - 1.0
    lower = play(pixels, pixels.prepare(shown, shown[2:3]), motion)
    torch.testing.assert_close(made[SWAP_SYNC][:, :, half:], lower)
    again = latent.whole(latent.swap(key, latent.encode(made[PIXELS] * 2.0 - 1.0)))
    torch.testing.assert_close(made[SYNC_SWAP], again)


def test_rows_of_what_is_not_there_are_left_out() -> None:
    target, motion = _squares(2, 1), torch.rand(2, MOTION_DIM)
    assert set(Template(_latent(), None, target, 0, None).draw(motion)) == {NONE, LATENT}
    made = Template(_latent(), None, target, 0, _squares(1, 2)).draw(motion)
    assert set(made) == {NONE, LATENT, SWAP, OURS}


def test_a_clip_is_played_as_a_stream_is() -> None:
    """Tokens of the frames before, rest before the first, and codes that are held on to."""
    latent, target, motion = _latent(0.4), _squares(5, 1), torch.rand(5, MOTION_DIM)
    maps = latent.encode(target)
    rows = latent.prepare(maps, maps[:1])
    made = play(latent, rows, motion)
    heard, last = torch.zeros(1, latent.tokens, MOTION_DIM), torch.full((1, *latent.cells), -1)
    for n in range(5):
        heard = torch.cat([heard[:, 1:], motion[n : n + 1, None]], 1)
        drawn = latent.draw({k: v[n : n + 1] for k, v in rows.items()}, heard, last)
        last = drawn.codes
        torch.testing.assert_close(made[n], drawn.lower[0])
    assert not torch.allclose(made, play(_latent(0.0), rows, motion))


# Flicker


def test_what_stays_wrong_does_not_flicker_and_what_jumps_does() -> None:
    truth = torch.rand(6, 3, SMALL // 2, SMALL)
    assert jitter(truth + 0.2, truth) == pytest.approx({"mouth": 0.0, "outside": 0.0}, abs=1e-3)
    made = truth.clone()
    made[::2, :, mouth_area(SMALL)] += 0.1
    found = jitter(made, truth)
    assert found["mouth"] == pytest.approx(25.5, rel=1e-3)
    assert found["outside"] == pytest.approx(0.0, abs=1e-3)
    with pytest.raises(ValueError, match="three frames"):
        jitter(made[:2], truth[:2])


def test_hysteresis_holds_on_to_codes() -> None:
    space, _ = tiny_networks()
    squares = _squares(1, 3) + 0.1 * _squares(6, 4)
    maps = space.requires_grad_(False).encode_halves(squares)
    free, held = (recoded(space, maps, margin) for margin in (0.0, 0.9))
    assert free.shape == held.shape == (6, 3, SMALL // 2, SMALL)
    torch.testing.assert_close(free[0], held[0])
    assert float(held.diff(dim=0).abs().mean()) < 0.5 * float(free.diff(dim=0).abs().mean())


# Sync


def test_the_expert_believes_a_sound_of_its_own_more_than_others() -> None:
    """An expert that reads the brightness of lips and hears how open a jaw is."""

    class Simple(SyncExpert):
        def embed_lips(self, halves: Tensor) -> Tensor:
            return _told(halves.mean((1, 2, 3, 4)))

        def embed_sound(self, sound: Tensor) -> Tensor:
            return _told(sound[..., 0].mean(1))

    space, _ = tiny_networks()
    expert = Simple(ExpertConfig(latent=tiny_swap().config.latent, widths=(8, 8, 8), embedding=8))
    level = torch.linspace(0.0, 1.0, 40)
    pictures = level.view(-1, 1, 1, 1).expand(-1, 3, SMALL, SMALL)

    class Flat(torch.nn.Module):
        def encode(self, halves: Tensor) -> Tensor:
            return halves.mean((1, 2, 3), keepdim=True) * 0.5 + 0.5

    motion = torch.zeros(40, MOTION_DIM)
    motion[:, 0] = level
    own = believe(expert, Flat(), pictures, motion)  # type: ignore[arg-type]
    assert own.own == pytest.approx(1.0, abs=1e-4)
    assert own.more > 0.05
    wrong = believe(expert, Flat(), pictures, motion.flip(0))  # type: ignore[arg-type]
    assert wrong.own < own.own
    assert wrong.more < 0.0
    assert space.config.code_dim == 8


def _told(level: Tensor) -> Tensor:
    """An angle for a level of 0 to 1, [B, 2]."""
    angle = level * (torch.pi / 2)
    return torch.stack([angle.cos(), angle.sin()], 1)


# What is said, and who says it


def test_what_is_said_moves_the_mouth_alone_and_closes_it() -> None:
    said = speech(3, 60)
    assert said.motion.shape == (60, MOTION_DIM)
    assert not said.motion[:, BLENDSHAPES.index("eyeBlinkLeft") :].any()
    assert said.gap.max() > 0.05 > 0.006 > said.gap.min()
    assert np.array_equal(said.motion, speech(3, 60).motion)
    assert not np.array_equal(said.motion, speech(4, 60).motion)
    moves = head(0, 60)
    assert not moves[:, : BLENDSHAPES.index("eyeBlinkLeft")].any()
    assert moves.std(0).max() > 0.1


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two of the cast, held out."""
    folder = tmp_path_factory.mktemp("store")
    regions = np.zeros((1, 3, 3), np.float32)
    for name in ("freya", "henrik"):
        photo = Image.open(CAST / f"{name}.png").convert("RGB").resize((256, 256))
        motion = np.zeros((1, MOTION_DIM), np.float32)
        clip = Clip(np.asarray(photo)[None], regions, motion, "cast")
        write_clip(folder / "held_out" / f"{name}.safetensors", clip)
    return folder


@pytest.fixture(scope="module")
def everybody(store: Path) -> list[Person]:
    return people(store, 2)


def test_lips_of_the_truth_follow_what_is_said_and_others_do_not(everybody: list[Person]) -> None:
    said, other = speech(0, 30), speech(1, 30)
    own, wrong = (
        squares * 0.5 + 0.5
        for squares in everybody[0].clips(head(0, 30), [said.motion, other.motion])
    )
    assert own.shape == (30, 3, SIDE, SIDE)
    assert torch.allclose(own[:, :, :100], wrong[:, :, :100], atol=0.02)  # one square for both
    found = read_sync(meshes(own), said)
    assert found.r > 0.85
    assert found.lost == Count(0, 30)
    assert found.closed.total > 0
    assert found.closed.share > 0.6
    judge = Judge(None, everybody[0].square, tiny_networks()[0], None)
    row, apart = Row(), Row()
    truth = Truth(own, said, 0)
    judge.add(row, own, truth)
    judge.add(apart, wrong, truth)
    figures, others = row.figures(), apart.figures()
    assert figures["ssim"] == pytest.approx(1.0)
    assert figures["lmd"] == pytest.approx(0.0)
    for name, sign in (("r", 1.0), ("ssim", 1.0), ("lmd", -1.0)):
        better, worse = figures[name], others[name]
        assert better is not None
        assert worse is not None
        assert sign * better > sign * worse, name
    assert "retrieved" not in figures


def test_a_picture_without_a_face_is_lost_and_does_not_end_the_run() -> None:
    said = speech(0, FRAMES)
    found = read_sync(meshes(torch.full((FRAMES, 3, 64, 64), 0.5)), said)
    assert found == (0.0, Count(0, 0), Count(FRAMES, FRAMES))


def test_too_few_people_are_refused(store: Path) -> None:
    with pytest.raises(ValueError, match="holds 1 people; a swap takes two"):
        people(store, 1)


# The table


def test_a_figure_that_is_missing_is_a_dash() -> None:
    found = table({"self-driven": {"ours": {"r": 0.51, "closures": 0.5, "lmd": None}}})
    *_, line = found.splitlines()
    assert line.startswith("| self-driven | ours | 0.510 | 50% | - | - | - | - |")
    assert line.count("|") == len(COLUMNS) + 3
    assert "| a | 1.00 | 0.50 |" in flicker_table({"a": {"mouth": 1.0, "outside": 0.5}})


def test_networks_are_found_by_either_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"lacks swaptalk-vqgan\.safetensors and swaptalk-lips"):
        load_networks(tmp_path)
    write_weights(tmp_path, prefix="swaptalk")
    run = tmp_path / "swap"
    run.mkdir()
    (tmp_path / "swaptalk-swap.safetensors").rename(run / "model.safetensors")
    networks = load_networks(tmp_path)
    assert networks.swap is not None
    assert networks.expert is None
    assert set(networks.about) == {"vqgan", "lips", "swap"}


def test_the_command_writes_every_row(store: Path, tmp_path: Path) -> None:
    """With tiny networks, on squares of theirs."""
    write_weights(tmp_path / "weights", prefix="swaptalk")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmarks.swaptalk.clips.SIDE", SMALL)
        patch.setattr("benchmarks.swaptalk.measured.SIDE", SMALL)
        main(
            ["--weights", str(tmp_path / "weights"), "--data", str(store), "--frames", "12",
             "--people", "2", "--out", str(tmp_path / "out.json"),
             "--other", str(tmp_path / "weights/swaptalk-vqgan.safetensors")]
        )  # fmt: skip
    held = json.loads((tmp_path / "out.json").read_text())
    assert (held["people"], held["frames"]) == (2, 12)
    truths = {"ground truth", "ground truth, swapped"}
    assert set(held["rows"]["self-driven"]) == truths | {LATENT, SWAP, OURS}
    assert set(held["rows"]["cross-driven"]) == truths | {NONE, LATENT, SWAP, OURS}
    assert held["rows"]["self-driven"]["ground truth"]["ssim"] == 1.0
    assert set(held["flicker"]) == {
        f"{what}, f8, margin {margin}"
        for what in ("VQGAN", "other VQGAN", LATENT)
        for margin in ("0", "0.1")
    }
