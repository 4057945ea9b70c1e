"""Training of the motion generator: windows of the corpus, objectives, and runs that go on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from pipelines.motion.diffusion import load_network
from pipelines.motion.latent import LATENT_DIM, SHAPES, MotionLatent, rest
from pipelines.motion.lip_closure import parting_weights
from pipelines.motion.network import MotionNetwork, NetworkConfig
from pipelines.motion.style import STYLE_DIM
from tests.support.small_corpus import write_corpus
from training.motion.objectives import PhoneHead, Spoken, parted, telling
from training.motion.train import Schedule, Trainer
from training.motion.windows import Windows
from training.speech.corpus_store import LABEL_LIST

PLAN = Schedule(steps=4, frames=72, report=2, warm_up=1)
SMALL = NetworkConfig(front=8, dim=16, blocks=2, heads=2, reach=6, mouth=8, memory=8, flow=16)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


def test_a_window_holds_sound_and_motion_of_the_same_time(corpus: Path) -> None:
    windows = Windows([corpus / "train"], seed=0)
    batch = windows.at(np.array([2, 1]), np.array([30, -4]), 18)
    jaw = (batch.motion[..., 0] + 1.0) * 0.25
    expected = (30 + torch.arange(18)) / 250.0 + 0.02
    torch.testing.assert_close(jaw[0], expected, rtol=0, atol=2e-3)
    assert abs(float(batch.last[0, 0] + 1.0) * 0.25 - (29 / 250.0 + 0.02)) < 2e-3
    torch.testing.assert_close(
        batch.rows[0], torch.from_numpy(np.array(windows.rows[0][2, 120:192])).float()
    )
    # Before the stretch: silence, a face at rest, no phone.
    assert torch.equal(batch.motion[1, :4], rest().expand(4, -1))
    assert torch.equal(batch.last[1], rest())
    assert set(batch.phones[1, :16].tolist()) == {LABEL_LIST.index("SIL")}
    torch.testing.assert_close(
        batch.rows[1, 16:], torch.from_numpy(np.array(windows.rows[0][1, :56])).float()
    )


def test_windows_are_drawn_by_seed(corpus: Path) -> None:
    one, same, other = (
        Windows([corpus / "train"], seed=s).draw(6, 12, vary=True) for s in (1, 1, 2)
    )
    assert torch.equal(one.rows, same.rows)
    assert not torch.equal(one.rows, other.rows)


def test_folders_give_as_many_windows_as_each_other(corpus: Path, tmp_path: Path) -> None:
    other = write_corpus(tmp_path / "other")
    windows = Windows([corpus / "train", other / "train", corpus / "validation"], seed=0)
    seen = [windows.draw(10, 12) for _ in range(12)]
    assert {len(batch.rows) for batch in seen} == {10}
    drawn = [[len(own) for own in windows._own], windows._sizes(9).tolist()]
    assert drawn[1] == [3, 3, 3]


def test_the_streaming_network_learns_in_every_part(corpus: Path) -> None:
    torch.manual_seed(0)
    network = MotionNetwork(SMALL)
    nn.init.normal_(network.style.weight)
    heads = PhoneHead(network)
    batch = Windows([corpus / "train"], 0).draw(6, 10)
    batch = replace(batch, style=torch.randn(6, STYLE_DIM))
    loss = Spoken(network)(network, heads, batch)
    loss.total.backward()
    assert torch.isfinite(loss.total)
    untaught = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert not untaught


def test_the_parting_of_latents_is_that_of_the_motion_they_stand_for() -> None:
    latent = torch.rand(3, LATENT_DIM) * 2.0 - 1.0
    motion, _ = MotionLatent().decode(latent[:, None], MotionLatent().at_rest(3))
    torch.testing.assert_close(parted(latent[:, SHAPES]), motion[:, 0] @ parting_weights())


def test_frames_around_the_first_sound_count_more() -> None:
    rows, frames, first = 4, 20, 10
    phones = torch.full((1, rows * frames), LABEL_LIST.index("SIL"))
    phones[:, rows * first :] = LABEL_LIST.index("S")  # is neither a closure nor an open vowel
    more = torch.where(telling(phones, frames)[0] > 1.0)[0]
    # Two frames before it, which are shown when it has been heard, and two from it on.
    assert more.tolist() == [first - 2, first - 1, first, first + 1]


def test_filmed_lips_count_where_there_are_any(corpus: Path) -> None:
    torch.manual_seed(0)
    network = MotionNetwork(SMALL).eval()
    batch = Windows([corpus / "train"], 0).draw(6, 10)
    none = Spoken(network)(network, PhoneHead(network), batch).lips
    filmed = replace(batch, parting=torch.full_like(batch.parting, 0.4))
    some = Spoken(network)(network, PhoneHead(network), filmed).lips
    without = Spoken(network, real=0.0)(network, PhoneHead(network), filmed).lips
    assert some > none
    torch.testing.assert_close(without, none)


def run(corpus: Path, out: Path, steps: int) -> Trainer:
    out.mkdir(exist_ok=True)
    torch.manual_seed(7)
    network = MotionNetwork(SMALL)
    trainer = Trainer(network, Spoken(network), PhoneHead(network), [corpus], out, PLAN)
    trainer.resume()
    while trainer.step < steps:
        trainer.update()
        trainer.step += 1
    trainer.save()
    return trainer


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(corpus: Path, tmp_path: Path) -> None:
    run(corpus, tmp_path / "a", 2)
    resumed = run(corpus, tmp_path / "a", 4)
    whole = run(corpus, tmp_path / "b", 4)
    assert resumed.step == whole.step == 4
    for name, value in whole.network.state_dict().items():
        torch.testing.assert_close(resumed.network.state_dict()[name], value)
    held = torch.load(tmp_path / "b" / "last.pt", weights_only=True)
    assert sorted(held) == ["average", "optimiser", "parts", "step", "torch", "windows"]
    kept = load_file(tmp_path / "b" / "model.safetensors")
    assert set(kept) == set(whole.network.state_dict())
    assert load_network(tmp_path / "b" / "model.safetensors").config == SMALL


def test_a_run_reports_its_curve(corpus: Path, tmp_path: Path) -> None:
    network = MotionNetwork(SMALL)
    Trainer(network, Spoken(network), PhoneHead(network), [corpus], tmp_path, PLAN).train()
    rows = [json.loads(line) for line in (tmp_path / "curve.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [2, 4]
    assert all(np.isfinite(row["held_out_motion"]) for row in rows)
