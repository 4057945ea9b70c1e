"""Training of swap, expert and lips on latents: what is drawn, losses that fall, resumption."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from pipelines.motion.space import MOTION_DIM
from pipelines.swaptalk.config import EarConfig, ExpertConfig, LatentConfig, LipConfig, SwapConfig
from pipelines.swaptalk.expert import SyncExpert
from pipelines.swaptalk.latents import lower
from pipelines.swaptalk.lips import LipSync
from pipelines.swaptalk.swap import Swap
from pipelines.swaptalk.vqgan.config import VqganConfig
from pipelines.swaptalk.vqgan.network import Vqgan
from pipelines.swaptalk.vqgan.weights import metadata_of
from pipelines.swaptalk.weights import load_expert, load_lips, load_swap
from pipelines.weights import read_metadata
from training.flow_warp.store import Clip, write_clip
from training.recognise.network import FaceNetwork
from training.recognise.recogniser import Recogniser
from training.swaptalk.latents import LatentFace, encode_store, main, read_latents
from training.swaptalk.learners import ExpertLearner, LipLearner, SwapLearner, SwapWeights
from training.swaptalk.losses import Recognised, cell_weights, identity_loss, map_loss
from training.swaptalk.run import Batch, Learner, Plan, Run
from training.swaptalk.samplers import ExpertSampler, LipBatch, LipSampler, SwapSampler
from training.swaptalk.stand_in import StandIn
from training.swaptalk.train import main as train
from training.workers import Workers

DIM, FRAMES = 6, 12
LATENT = LatentConfig(dim=DIM, rows=8, columns=8)
ALONE = Workers(torch.device("cpu"))
_MOUTH = [[0.0, 0.45, 0.2], [-0.4, -0.3, 0.1], [0.4, -0.3, 0.1]]


def _fill(folder: Path, people: int) -> None:
    """Faces of a colour each; a dark mouth opens with the jaw, the same in all of a group."""
    chance = np.random.default_rng(people)
    for who in range(people):
        group = np.random.default_rng(who // 2)
        motion = group.random((FRAMES, MOTION_DIM), dtype=np.float32)
        motion[:, 0] = (1 + group.permutation(FRAMES)) / FRAMES  # no two mouths are alike
        motion[0] = 0.0
        frames = np.empty((FRAMES, 128, 128, 3), np.uint8)
        frames[:] = chance.integers(80, 220, 3)
        for index in range(FRAMES):
            half = int(2 + 14 * motion[index, 0])
            frames[index, 92 - half : 92 + half, 50:78] = 20
            frames[index, 30:50, int(30 + 20 * motion[index, 37]) : 90] = 240
        regions = np.tile(np.array(_MOUTH, np.float32), (FRAMES, 1, 1))
        path = folder / f"{who}.safetensors"
        write_clip(path, Clip(frames, regions, motion, f"{folder.name}-{who // 2}"))


@pytest.fixture(scope="module")
def latents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("swaptalk")
    _fill(folder / "faces" / "train", people=4)
    _fill(folder / "faces" / "held_out", people=2)
    out = folder / "latents"
    main(["--data", str(folder / "faces"), "--out", str(out), "--stand-in", str(DIM)])
    return out


@pytest.fixture(scope="module")
def faces(latents: Path) -> list[LatentFace]:
    return read_latents(latents / "train")


def test_the_stand_in_gives_back_what_is_smooth() -> None:
    down = torch.linspace(-0.5, 0.5, 64)[:, None].expand(64, 64).repeat(2, 3, 1, 1)
    stand_in = StandIn(30)
    maps = stand_in.encode(down)
    assert maps.shape == (2, 30, 4, 4)
    assert float((stand_in.decode(maps) - down).abs().max()) < 0.01
    torch.testing.assert_close(stand_in.encode(stand_in.decode(maps)), maps, atol=1e-5, rtol=0.0)


def test_latents_are_the_frames_encoded_once(latents: Path, faces: list[LatentFace]) -> None:
    assert [len(face) for face in faces] == [FRAMES] * 4
    assert (faces[0].shape, faces[0].encoder) == (LATENT, f"cosines-{DIM}")
    before = {path: path.stat().st_mtime_ns for path in latents.rglob("*.safetensors")}
    data = latents.parent / "faces"
    encode_store(StandIn(DIM).encode, f"cosines-{DIM}", data, latents)
    assert before == {path: path.stat().st_mtime_ns for path in latents.rglob("*.safetensors")}
    with pytest.raises(ValueError, match="choose another folder"):
        encode_store(StandIn(DIM).encode, "another", data, latents)
    with pytest.raises(ValueError, match="no latents"):
        read_latents(latents / "nowhere")


def test_the_answer_of_a_swap_is_the_source_in_the_targets_motion(faces: list[LatentFace]) -> None:
    batch = SwapSampler(faces, 64, seed=0).draw(3)
    own = 0
    for source, target, truth in zip(*batch[:3], strict=True):
        (person,) = [face for face in faces if _shows(face, truth) is not None]
        assert _shows(person, source) is not None, "source and answer are one person"
        (other,) = [face for face in faces if _shows(face, target) is not None]
        assert other.group == person.group
        assert torch.equal(
            other.motion[_shows(other, target)], person.motion[_shows(person, truth)]
        )
        own += other is person
    assert 0 < own < 24


def _shows(face: LatentFace, maps: Tensor) -> int | None:
    """Which of the face's frames that is."""
    held = face.latents(range(len(face)))
    found = (held == maps).flatten(1).all(1).nonzero()
    return int(found[0]) if len(found) else None


def test_the_expert_sees_lips_with_their_motion(faces: list[LatentFace]) -> None:
    for halves, sound in zip(*ExpertSampler(faces, 16, 5, seed=0).draw(0), strict=True):
        shown = [
            face.motion[i]
            for half in halves
            for face in faces
            for i, own in enumerate(lower(face.latents(range(len(face)))))
            if torch.equal(own, half)
        ]
        assert torch.equal(torch.stack(shown), sound)


def test_the_sound_of_lips_is_their_own_with_neighbours(faces: list[LatentFace]) -> None:
    sampler = LipSampler(faces, 3, 5, 5, 1, seed=0)
    batch = sampler.draw(2)
    assert batch.sound.shape == (15, 5, MOTION_DIM)
    assert torch.equal(batch.sound[:, 3], batch.heard.flatten(0, 1))
    away = (batch.sound - batch.sound[:, 3:4]).norm(dim=2).mean(0)
    assert away[3] == 0.0
    assert bool((away[:3].diff() < 0.0).all())
    again, other = sampler.draw(2), sampler.draw(3)
    assert all(map(torch.equal, batch, again))
    assert not torch.equal(batch.target, other.target)


def test_losses_are_nothing_for_equal_maps_and_weigh_the_mouth_most() -> None:
    torch.manual_seed(0)
    maps, regions = torch.randn(2, DIM, 8, 8), torch.tensor([_MOUTH, _MOUTH])
    weight = cell_weights(regions, 8, 8)
    assert weight.shape == (2, 1, 8, 8)
    assert weight[0, 0].argmax() in (5 * 8 + 3, 5 * 8 + 4)
    assert float(map_loss(maps, maps, weight)) == 0.0
    off = {}
    for name, row, column in (("mouth", 5, 4), ("corner", 0, 0)):
        other = maps.clone()
        other[:, :, row, column] += 1.0
        off[name] = float(map_loss(maps, other, weight))
    assert off["mouth"] > 4.0 * off["corner"] > 0.0
    seen = torch.tensor([[3.0, 0.0], [0.0, 1.0]])
    assert float(identity_loss(seen, 2.0 * seen)) == pytest.approx(0.0, abs=1e-6)
    assert float(identity_loss(seen, seen.flip(1))) == pytest.approx(1.0)


def _swap(faces: list[LatentFace]) -> tuple[Learner, Callable[[int], Batch]]:
    network = Swap(SwapConfig(latent=LATENT, width=24, heads=2, layers=2, hidden=32))
    learner = SwapLearner(network, lambda maps: maps.flatten(2).mean(2))
    return learner, SwapSampler(faces, 16, seed=0).draw


def _expert(faces: list[LatentFace]) -> tuple[Learner, Callable[[int], Batch]]:
    network = SyncExpert(ExpertConfig(latent=LATENT, widths=(12, 12, 16), embedding=16))
    return ExpertLearner(network), ExpertSampler(faces, 32, 5, seed=0).draw


def _lips(faces: list[LatentFace]) -> tuple[Learner, Callable[[int], Batch]]:
    ear = EarConfig(width=16)
    config = LipConfig(latent=LATENT, ear=ear, warp_widths=(8, 8, 12), widths=(16, 16, 24), heads=2)
    expert = SyncExpert(ExpertConfig(latent=LATENT, widths=(8, 8, 8), embedding=8))
    learner = LipLearner(LipSync(config), expert)
    return learner, LipSampler(faces, 3, 5, ear.tokens, ear.ahead, seed=0).draw


@pytest.mark.parametrize(
    ("make", "loss", "share", "steps"),
    [(_swap, "proxy", 0.6, 90), (_expert, "sync", 0.9, 30), (_lips, "code", 0.7, 30)],
)
def test_losses_fall(
    make: Callable[[list[LatentFace]], tuple[Learner, Callable[[int], Batch]]], loss: str,
    share: float, steps: int, faces: list[LatentFace], tmp_path: Path,
) -> None:  # fmt: skip
    torch.manual_seed(0)
    learner, draw = make(faces)
    learner.network.scale.fit(torch.cat([face.latents(range(FRAMES)) for face in faces]))
    plan = Plan(steps=steps, rate=4e-3, warm_up=3, report=10, average=0.8)
    run = Run(learner, draw, draw, tmp_path, plan, ALONE, "none")
    before = run.judge()
    run.train()
    after = run.judge()
    assert after[loss] < share * before[loss], (before, after)
    lines = [json.loads(line) for line in (tmp_path / "curve.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(10, steps + 1, 10))
    assert math.isclose(lines[-1][f"held_out_{loss}"], after[loss])


def test_lips_learn_to_listen(faces: list[LatentFace], tmp_path: Path) -> None:
    torch.manual_seed(0)
    learner, draw = _lips(faces)
    learner.network.scale.fit(torch.cat([face.latents(range(FRAMES)) for face in faces]))

    def misheard(step: int) -> Batch:
        batch = draw(step)
        assert isinstance(batch, LipBatch)
        return batch._replace(sound=batch.sound.roll(1, 0))

    plan = Plan(steps=60, rate=4e-3, warm_up=3, report=60, average=0.8)
    run = Run(learner, draw, draw, tmp_path, plan, ALONE, "none")
    run.train()
    own = run.judge()["code"]
    run.held_out = misheard
    assert run.judge()["code"] > 1.2 * own


def test_the_expert_has_a_say_once_lips_are_in_time_and_is_never_trained(
    faces: list[LatentFace],
) -> None:
    learner, draw = _lips(faces)
    assert isinstance(learner, LipLearner)
    assert learner.expert is not None
    batch = draw(0)
    assert not any(parameter.requires_grad for parameter in learner.expert.parameters())
    learner.train()
    assert not learner.expert.training
    for level, counts in ((0.8, 0.0), (0.7, learner.sync_weight)):
        learner.sync.fill_(level)
        losses = {name: loss.detach() for name, loss in learner(batch).items()}
        said = losses["code"] + counts * losses["sync"]
        torch.testing.assert_close(losses["total"], said)


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(
    faces: list[LatentFace], tmp_path: Path
) -> None:
    plan = Plan(steps=6, warm_up=2, report=2)

    def run(name: str, last: int) -> Run:
        torch.manual_seed(0)
        learner, draw = _lips(faces)
        (tmp_path / name).mkdir(exist_ok=True)

        def until(step: int) -> Batch:
            if step >= last:
                raise InterruptedError
            return draw(step)

        made = Run(learner, until, draw, tmp_path / name, plan, ALONE, "none")
        made.resume()
        return made

    run("whole", 6).train()
    for last in (5, 6):
        parts = run("parts", last)
        assert parts.step == {5: 0, 6: 4}[last]
        if last == 5:
            with pytest.raises(InterruptedError):
                parts.train()
        else:
            parts.train()
    curves = [(tmp_path / name / "curve.jsonl").read_text() for name in ("whole", "parts")]
    assert curves[0] == curves[1]
    whole, made = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(value, made[name]) for name, value in whole.items())


@pytest.mark.parametrize("command", ["swap", "expert", "lips"])
def test_a_command_leaves_weights_that_load(command: str, latents: Path, tmp_path: Path) -> None:
    line = [command, "--data", str(latents), "--out", str(tmp_path), "--batch", "5"]
    train([*line, "--steps", "1"])
    path = tmp_path / "model.safetensors"
    loads: dict[str, Callable[[Path], Swap | SyncExpert | LipSync]]
    loads = {"swap": load_swap, "expert": load_expert, "lips": load_lips}
    network = loads.pop(command)(path)
    assert network.config.latent == LATENT
    assert not network.training
    assert read_metadata(path)["encoder"] == f"cosines-{DIM}"
    with pytest.raises(ValueError, match="expected swaptalk-"):
        next(iter(loads.values()))(path)
    train([*line, "--steps", "1"])  # nothing is left to do
    assert len((tmp_path / "curve.jsonl").read_text().splitlines()) == 1
    if command == "expert":
        out = str(tmp_path / "lips")
        line = ["lips", "--data", str(latents), "--out", out, "--expert", str(path)]
        train([*line, "--steps", "1", "--batch", "5", "--bfloat16"])
        copied = tmp_path / "copied.safetensors"
        save_file(load_file(path), copied, read_metadata(path) | {"encoder": "another"})
        with pytest.raises(ValueError, match="another encoder"):
            train([*line[:-1], str(copied)])
        assert "sync" in (tmp_path / "lips" / "curve.jsonl").read_text()


def test_swaps_are_told_whose_face_it_is(latents: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = VqganConfig(
        size=128, ch=8, ch_mult=(1, 1, 1, 1, 1), blocks=1, decoder_blocks=1, attention=(),
        groups=4, code_dim=DIM, codes=8, local_decoder=True,
    )  # fmt: skip
    vqgan, face = tmp_path / "vqgan.safetensors", tmp_path / "recogniser.safetensors"
    save_file(Vqgan(config).state_dict(), vqgan, metadata_of(config))
    save_file(FaceNetwork().state_dict(), face)
    line = ["swap", "--data", str(latents), "--out", str(tmp_path / "run"), "--batch", "3"]
    line += ["--steps", "1", "--recognised", "2", "--vqgan", str(vqgan)]
    with pytest.raises(ValueError, match="both --vqgan and --recogniser"):
        train(line)
    with pytest.raises(ValueError, match="no recogniser at"):
        train([*line, "--recogniser", str(tmp_path / "none")])
    train([*line, "--recogniser", str(face)])
    losses = json.loads((tmp_path / "run" / "curve.jsonl").read_text())
    assert losses["source"] == pytest.approx(0.0, abs=1e-5)  # a swap begins with the source
    assert 0.0 < losses["held_out_result"] < 2.0
    parts = losses["proxy"] + losses["source"] + losses["result"]
    assert losses["total"] == pytest.approx(parts, rel=1e-5)
    assert load_swap(tmp_path / "run" / "model.safetensors").config.latent == LATENT


def test_who_is_seen_reaches_the_swap_alone(faces: list[LatentFace]) -> None:
    torch.manual_seed(0)
    config = VqganConfig(
        size=32, ch=8, ch_mult=(1, 1), blocks=1, decoder_blocks=1, attention=(), groups=4,
        code_dim=DIM, codes=8, local_decoder=True,
    )  # fmt: skip
    recognise = Recognised(Vqgan(config), Recogniser(FaceNetwork()))
    network = Swap(SwapConfig(latent=LATENT, width=24, heads=2, layers=2, hidden=32))
    learner = SwapLearner(network, recognise, SwapWeights(proxy=0.0), recognised=1).train()
    assert not recognise.training
    batch = SwapSampler(faces, 3, seed=0).draw(0)
    losses = learner(batch)
    losses["total"].backward()
    assert all(p.grad is None for p in recognise.parameters())
    assert any(p.grad is not None and p.grad.any() for p in network.parameters())
    others = batch._replace(source=torch.cat([batch.source[:1], 0.0 * batch.source[1:]]))
    torch.testing.assert_close(learner(others)["source"], losses["source"])
