"""Training of the VQGAN: what a step sees, where codes begin, losses, resumption, workers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pipelines.swaptalk.vqgan.config import PRESETS, SMALL
from pipelines.swaptalk.vqgan.quantise import NearestQuantiser
from pipelines.swaptalk.vqgan.weights import read_vqgan
from pipelines.swaptalk.weights import encoder_name
from tests.support.workers import train_in_two
from training.flow_warp.store import Clip, read_faces, write_clip
from training.swaptalk.vqgan.__main__ import main
from training.swaptalk.vqgan.batches import Batch, Sampler
from training.swaptalk.vqgan.codebook import Uses, k_means
from training.swaptalk.vqgan.critic import adaptive_weight, critic_loss
from training.swaptalk.vqgan.learner import Learner
from training.swaptalk.vqgan.losses import quantisation_loss, tone_loss
from training.swaptalk.vqgan.run import Plan, Run
from training.workers import Workers

SIZE = 32
TINY = replace(SMALL, size=SIZE, ch=8, ch_mult=(1, 2), code_dim=4, parts=2, codes=6, codes_lower=8)
PLAN = Plan(steps=6, begin=2, warm_up=1, report=2, sheet=3)
ALONE = Workers(torch.device("cpu"))
MOUTH, EYES = (0.0, 0.35), ((-0.25, -0.2), (0.25, -0.2))


def _fill(folder: Path, people: int = 5) -> None:
    """A mouth of one colour that opens, in each person's own colour."""
    chance = np.random.default_rng(0)
    for who in range(people):
        frames = np.empty((4, SIZE, SIZE, 3), np.uint8)
        frames[:] = chance.integers(30, 120, 3)
        row = round((MOUTH[1] + 1.0) * SIZE / 2)
        for index in range(4):
            frames[index, row - index : row + 1 + index, 12:20] = (240, 10, 10)
        regions = np.array([[*MOUTH, 0.25], *([*eye, 0.1] for eye in EYES)], np.float32)
        clip = Clip(frames, np.broadcast_to(regions, (4, 3, 3)).copy(), None, str(who))
        write_clip(folder / f"{who}.safetensors", clip)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    _fill(folder / "train")
    _fill(folder / "held_out", people=2)
    return folder


def _learner(seed: int = 0, **more: object) -> Learner:
    torch.manual_seed(seed)
    return Learner(TINY, **more)  # type: ignore[arg-type]


def _run(data: Path, out: Path, plan: Plan = PLAN, **more: object) -> Run:
    out.mkdir(exist_ok=True)
    sampler = Sampler(read_faces(data / "train", SIZE), SIZE, seed=0, whole=0.5)
    held_out = Sampler(read_faces(data / "held_out", SIZE), SIZE, seed=1, vary=False)
    return Run(_learner(**more), sampler, held_out, out, plan, ALONE)


def _batch(*, whole: bool) -> Batch:
    torch.manual_seed(1)
    regions = torch.tensor([[[0.0, 0.5, 0.2], [-0.4, -0.3, 0.1], [0.4, -0.3, 0.1]]])
    return Batch(torch.rand(2, 3, SIZE, SIZE) * 2 - 1, regions.expand(2, 3, 3), whole)


def test_faces_are_cut_out_where_their_regions_say(tmp_path: Path) -> None:
    """A bright spot at the mouth lies where the cropped picture's regions have the mouth."""
    size = 64
    frames = np.zeros((1, size, size, 3), np.uint8)
    x, y = (round((v + 1.0) * size / 2) for v in MOUTH)
    frames[0, y - 2 : y + 2, x - 2 : x + 2] = 255
    regions = np.array([[[*MOUTH, 0.2], *([*eye, 0.1] for eye in EYES)]], np.float32)
    write_clip(tmp_path / "one.safetensors", Clip(frames, regions, None, "g"))
    sampler = Sampler(read_faces(tmp_path, size), size, seed=0, count=1)
    line = (torch.arange(size) + 0.5) * (2.0 / size) - 1.0
    sides = set()
    for step in range(12):
        batch = sampler.draw(step)
        light = batch.pictures[0].mean(0)
        light = (light - light.median()).clamp_min(0.0)
        seen = torch.stack([(light.sum(0) * line).sum(), (light.sum(1) * line).sum()]) / light.sum()
        torch.testing.assert_close(seen, batch.regions[0, 0, :2], rtol=0.0, atol=0.03)
        assert 0.2 < float(batch.regions[0, 0, 1]) < 0.5  # a mouth is below the seam
        assert float(batch.regions[0, 1:, 1].max()) < 0.0  # and eyes above it
        assert float(batch.regions[0, 0, 2]) > 0.2  # cropped, it is larger
        sides.add(bool(batch.regions[0, 1, 0] < 0.0))
    assert sides == {True, False}  # mirrored now and then


def test_batches_follow_seed_rank_and_step(data: Path) -> None:
    faces = read_faces(data / "train", SIZE)

    def first(seed: int, rank: int, step: int) -> Tensor:
        return Sampler(faces, SIZE, seed=seed, rank=rank).draw(step).pictures

    assert torch.equal(first(1, 0, 5), first(1, 0, 5))
    for other in ((2, 0, 5), (1, 1, 5), (1, 0, 6)):
        assert not torch.equal(first(1, 0, 5), first(*other))


def test_k_means_finds_the_heaps() -> None:
    chance = torch.Generator().manual_seed(0)
    heaps = torch.tensor([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0]])
    vectors = heaps.repeat(50, 1) + 0.1 * torch.randn(150, 2, generator=chance)
    centres = k_means(vectors, 12, chance)
    assert float(torch.cdist(heaps, centres).min(1).values.max()) < 0.2
    with pytest.raises(ValueError, match="12 codes want at least as many vectors, got 11"):
        k_means(vectors[:11], 12, chance)


def test_dead_codes_are_put_where_vectors_are() -> None:
    book = NearestQuantiser(4, 2)
    uses = Uses(4, torch.device("cpu"))
    for _ in range(600):
        uses.note(torch.tensor([0, 1, 1]))
    assert uses.dead().tolist() == [False, False, True, True]
    assert 1.5 < uses.perplexity() < 2.1
    vectors = torch.tensor([7.0, 8.0]).view(1, 2, 1, 1)
    before = book.embedding.weight.detach().clone()
    assert uses.revive(book, vectors, torch.Generator()).tolist() == [2]
    assert book.embedding.weight[2].tolist() == [7.0, 8.0]
    assert torch.equal(book.embedding.weight[[0, 1, 3]], before[[0, 1, 3]])
    assert uses.dead().tolist() == [False, False, False, True]


def test_codes_follow_vectors_more_than_vectors_follow_codes() -> None:
    z = torch.zeros(1, 1, 1, 1, requires_grad=True)
    values = torch.ones(1, 1, 1, 1, requires_grad=True)
    loss = quantisation_loss(z, values)
    loss.backward()
    assert (loss.item(), z.grad.item(), values.grad.item()) == (1.25, -0.5, 2.0)  # type: ignore[union-attr]


def test_tone_is_of_cells_and_counts_hue_most() -> None:
    wanted = torch.zeros(1, 3, 8, 8)
    stripes = wanted.clone()
    stripes[..., ::2], stripes[..., 1::2] = 0.3, -0.3
    assert float(tone_loss(stripes, wanted, 4)) == pytest.approx(0.0, abs=1e-6)
    brighter = wanted + 0.3
    redder = wanted + torch.tensor([0.6, -0.3, -0.3]).view(1, 3, 1, 1)
    assert float(tone_loss(brighter, wanted, 4)) == pytest.approx(0.3)
    assert float(tone_loss(redder, wanted, 4)) == pytest.approx(3 * 0.4)


@pytest.mark.parametrize("whole", [False, True])
def test_upper_halves_are_learnt_from_in_whole_steps_alone(whole: bool) -> None:
    learner = _learner()
    learner.with_codes = True
    batch = _batch(whole=whole)
    batch.pictures.requires_grad_()
    drawn = learner(batch)
    assert drawn.made.shape == (2, 3, SIZE if whole else SIZE // 2, SIZE)
    drawn.losses["total"].backward()
    assert batch.pictures.grad is not None
    above, below = batch.pictures.grad.abs().sum((0, 1, 3)).chunk(2)
    assert bool(below.all())
    assert bool(above.all()) == bool(above.any()) == whole
    for book in learner.books:  # follows the encoder in every step
        assert book.embedding.weight.grad is not None
        assert float(book.embedding.weight.grad.abs().sum()) > 0.0


def test_what_training_draws_is_what_the_pipeline_draws() -> None:
    learner = _learner()
    learner.with_codes = True
    batch = _batch(whole=True)
    network = learner.network
    with torch.no_grad():
        z = network.quantise(network.encode_halves(batch.pictures)).values
        torch.testing.assert_close(learner(batch).made, network.decode(z))
        lower = learner(replace(batch, whole=False)).made
        torch.testing.assert_close(lower, network.decode_lower(z))


class _Mean(nn.Module):
    """An identity of three numbers: the mean colour. Notes how high the pictures are."""

    def __init__(self) -> None:
        super().__init__()
        self.heights: list[int] = []

    def forward(self, pictures: Tensor) -> Tensor:
        self.heights.append(pictures.shape[2])
        return pictures.mean((2, 3))


@pytest.mark.parametrize("whole", [False, True])
def test_identity_is_asked_of_whole_faces(whole: bool) -> None:
    identity = _Mean()
    learner = _learner(identity=identity)
    with torch.no_grad():
        losses = learner(_batch(whole=whole)).losses
    assert identity.heights == [SIZE, SIZE]
    assert float(losses["identity"].detach()) > 0.0
    rest = sum(
        getattr(learner.weights, name) * float(loss.detach())
        for name, loss in losses.items() if name != "total"
    )  # fmt: skip
    assert float(losses["total"].detach()) == pytest.approx(rest, rel=1e-5)


def test_the_critic_is_as_loud_as_the_losses() -> None:
    last = torch.tensor([1.0, -2.0], requires_grad=True)
    weight = adaptive_weight(6.0 * last.sum(), 2.0 * last.sum(), last)
    assert float(weight) == pytest.approx(3.0, 1e-3)
    real, drawn = torch.tensor([2.0, 0.0]), torch.tensor([-3.0, -1.0])
    assert float(critic_loss(real, drawn)) == pytest.approx(0.25)


def test_a_run_goes_on_as_if_it_had_not_stopped(data: Path, tmp_path: Path) -> None:
    plan = replace(PLAN, critic_from=4)
    once = _run(data, tmp_path / "once", plan)
    once.train()
    for stop in (1, 3):  # before there are codes, and after
        out = tmp_path / f"stopped {stop}"
        part = _run(data, out, plan)
        while part.step < stop:
            part.update()
            part.step += 1
        part.save()
        assert sorted(torch.load(out / "last.pt", weights_only=True)) == [
            "adversary", "average", "chance", "network", "optimiser", "step", "uses", "with_codes",
        ]  # fmt: skip
        rest = _run(data, out, plan, seed=9)
        rest.resume()
        assert rest.step == stop
        rest.train()
        for name, value in once.average.items():
            assert torch.equal(value, rest.average[name]), name
    lines = [json.loads(line) for line in (tmp_path / "once/curve.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 3, 4, 6, 6]
    assert lines[0]["quantisation"] == 0.0
    assert 1.0 < lines[2]["lower_codes"] <= TINY.parts * 8.0
    assert "critic" in lines[3]
    assert "held_out_psnr" in lines[1]
    assert sorted(path.name for path in (tmp_path / "once/sheets").iterdir()) == [
        "000003.png", "000006.png",
    ]  # fmt: skip


def test_a_run_learns(data: Path, tmp_path: Path) -> None:
    run = _run(data, tmp_path, replace(PLAN, steps=240, begin=30, report=10, sheet=240))
    run.train()
    lines = [json.loads(line) for line in (tmp_path / "curve.jsonl").read_text().splitlines()]
    last = [line for line in lines if "colour" in line][-1]
    assert last["colour"] < 0.6 * lines[0]["colour"]  # 0.39; after 80 steps 0.6, by chance of draws


def test_the_command_trains_weights_that_load(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(PRESETS, "small", TINY)
    common = ["--data", str(data), "--frames", str(SIZE), "--count", "2", "--sheet", "2"]
    main([*common, "--out", str(tmp_path / "run"), "--steps", "4", "--begin", "2"])
    assert "5 people; 0.0" in capsys.readouterr().out
    made = tmp_path / "run/model.safetensors"
    network = read_vqgan(made)
    assert network.config == TINY
    tensors = load_file(made)
    assert torch.equal(
        network.quantize_lower.embedding.weight, tensors["quantize_lower.embedding.weight"]
    )
    more = [*common, "--steps", "1", "--start", str(made), "--out"]
    main([*more, str(tmp_path / "next"), "--rate", "0"])
    again = load_file(tmp_path / "next/model.safetensors")
    for name, value in tensors.items():
        torch.testing.assert_close(again[name], value, msg=name)
    main([*more, str(tmp_path / "better"), "--decoder-only"])
    better = load_file(tmp_path / "better/model.safetensors")
    for name, value in tensors.items():
        decodes = name.startswith(("decoder.", "post_quant_conv."))
        assert decodes or torch.equal(better[name], value), name
    assert encoder_name(tmp_path / "better/model.safetensors") == encoder_name(made)
    name = "decoder.conv_out.weight"
    assert not torch.equal(better[name], tensors[name])


def test_an_identity_that_is_none_is_refused(data: Path, tmp_path: Path) -> None:
    command = ["--data", str(data), "--out", str(tmp_path), "--identity"]
    for name, words in (
        ("nowhere:it", "No module named 'nowhere'"),
        ("json:nothing", "has no attribute 'nothing'"),
        ("builtins:dict", "gives a dict, not a network"),
    ):
        with pytest.raises(SystemExit, match=f"--identity {name}: .*{words}"):
            main([*command, name])


_WORKER = """
import sys
from dataclasses import replace
from pathlib import Path
import torch
from training.flow_warp.store import read_faces
from training.workers import joined
from training.swaptalk.vqgan.batches import Sampler
from training.swaptalk.vqgan.learner import Learner
from training.swaptalk.vqgan.run import Plan, Run
from pipelines.swaptalk.vqgan.config import SMALL

data, out = Path(sys.argv[1]), Path(sys.argv[2])
torch.set_num_threads(1)
config = replace(SMALL, size=32, ch=8, ch_mult=(1, 2), code_dim=4, parts=2, codes=6, codes_lower=8)
with joined("cpu") as workers:
    torch.manual_seed(workers.rank)
    faces = read_faces(data / "train", 32)
    sampler = Sampler(faces, 32, seed=0, rank=workers.rank, whole=0.5)
    plan = Plan(steps=4, begin=1, report=4, sheet=4, critic_from=2)
    run = Run(Learner(config), sampler, sampler, out, plan, workers)
    run.train()
    torch.save(run.network.state_dict(), out / f"rank{workers.rank}.pt")
"""


def test_two_workers_train_one_model(data: Path, tmp_path: Path) -> None:
    train_in_two(_WORKER, data, tmp_path)
    assert len((tmp_path / "curve.jsonl").read_text().splitlines()) == 2
