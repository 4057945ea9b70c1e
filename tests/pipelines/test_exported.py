"""A motion model's step as an ONNX graph: it gives what PyTorch gives, and is refused elsewhere."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor

from pipelines.exported.export import export_motion
from pipelines.exported.files import (
    TOLERANCE,
    ProviderError,
    check_providers,
    load_graph,
    open_graph,
    open_session,
    providers_of,
)
from pipelines.exported.on_cuda import for_cuda
from pipelines.exported.runner import OnnxMotion
from pipelines.exported.situations import Difference, compare, situations, time_steps
from pipelines.streaming import map_tensors, named_tensors
from tests.support.small_motion import Nodding, NoddingState, write_motion_weights

HOPS = 1000


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a model, and its graph beside them."""
    path = write_motion_weights(tmp_path_factory.mktemp("weights"), Nodding())
    export_motion(Nodding(), path, path.with_suffix(".onnx"))
    return path


@pytest.fixture
def graph(weights: Path) -> OnnxMotion:
    return open_graph(weights.with_suffix(".onnx"), Nodding(), weights)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty folder where weights and graphs of the user lie."""
    monkeypatch.setenv("VIVAVOCE_WEIGHTS", str(tmp_path / "user"))
    return tmp_path / "user"


def test_a_thousand_hops_are_those_of_pytorch(graph: OnnxMotion) -> None:
    """With slots that pause, restart and are cut off; integers and flags to the bit."""
    found = compare(graph.model, graph, HOPS, seed=1)
    assert found.motion <= TOLERANCE
    assert not found.state


def test_noise_is_the_same_to_the_bit(tmp_path: Path) -> None:
    path = write_motion_weights(tmp_path, Nodding())
    export_motion(Nodding(noise=True), path, path.with_suffix(".onnx"))
    noise = Nodding(noise=True)
    found = compare(noise, open_graph(path.with_suffix(".onnx"), noise, path), HOPS)
    assert found == Difference(0.0, "")


def test_models_that_differ_are_told_apart(graph: OnnxMotion) -> None:
    """Or agreement would mean nothing."""
    assert compare(Nodding(), Nodding(seed=1), 20).motion > 10 * TOLERANCE
    forgetful = Nodding()
    forgetful.set_seed = lambda state, slots, seeds: None  # type: ignore[method-assign]
    assert compare(graph.model, forgetful, 300).state == "home"


def test_any_number_of_slots(graph: OnnxMotion) -> None:
    for slots in (1, 2, 7, 64):
        found = compare(graph.model, graph, 20, slots=slots)
        assert found.motion <= TOLERANCE, slots
        assert not found.state, slots


@torch.inference_mode()
def test_slots_that_rest_are_untouched_and_tensors_stay_where_they_are(graph: OnnxMotion) -> None:
    state = graph.init_state(2)
    held = named_tensors(state)
    resting = torch.tensor([True, False])
    before = {name: tensor.clone() for name, tensor in held.items()}
    for now in situations(graph, 2, 5):
        graph.step(now.features, now.speech, now.controls, state, resting)
    for name, tensor in named_tensors(state).items():
        assert tensor is held[name]
        assert torch.equal(tensor[1], before[name][1]), name
    assert state.frame.tolist() == [5, 0]


@torch.inference_mode()
def test_back_ends_go_on_from_each_other(graph: OnnxMotion) -> None:
    """One stream that changes hands at every hop, beside one of PyTorch alone."""
    mixed, alone = graph.init_state(3), graph.init_state(3)
    for n, now in enumerate(situations(graph, 3, 100)):
        for state in (mixed, alone):
            state.reset(now.reset)
            state.clear(now.clear)
        hop = now.features, now.speech, now.controls
        got = (graph, graph.model)[n % 2].step(*hop, mixed, now.active)
        expected = graph.model.step(*hop, alone, now.active)
        assert torch.allclose(got[now.active], expected[now.active], atol=TOLERANCE)
        assert torch.equal(graph.behaviour(mixed), graph.model.behaviour(alone))


@torch.inference_mode()
def test_a_reset_slot_is_a_fresh_one(graph: OnnxMotion) -> None:
    def motion(state: NoddingState) -> Tensor:
        everyone = torch.ones(2, dtype=torch.bool)
        steps = situations(graph, 2, 10)
        given = [graph.step(n.features, n.speech, n.controls, state, everyone) for n in steps]
        return torch.stack(given)

    state = graph.init_state(2)
    fresh = map_tensors(state, Tensor.clone)
    motion(state)
    state.reset(torch.tensor([True, True]))
    assert torch.equal(motion(state), motion(fresh))


@torch.inference_mode()
def test_states_that_are_gone_are_let_go(graph: OnnxMotion) -> None:
    for _ in range(3):
        state = graph.init_state(1)
        now = next(situations(graph, 1, 1))
        graph.step(now.features, now.speech, now.controls, state, now.active)
    assert len(graph._bindings) == 1


@torch.inference_mode()
def test_shapes_are_checked_where_copying_would_repeat_them(graph: OnnxMotion) -> None:
    state = graph.init_state(2)
    now = next(situations(graph, 2, 1))
    graph.step(now.features, now.speech, now.controls, state, now.active)
    with pytest.raises(ValueError, match="expected"):
        graph.step(now.features, now.speech[:1], now.controls, state, now.active)


@pytest.fixture
def alternating(weights: Path) -> OnnxMotion:
    """As on a card, but for what computes it."""
    session = open_session(weights.with_suffix(".onnx"), "cpu")
    return OnnxMotion(Nodding(), session, alternates=True)


def test_states_that_alternate_give_the_same(graph: OnnxMotion, alternating: OnnxMotion) -> None:
    """To the bit, with slots that pause, restart and are cut off."""
    assert compare(graph, alternating, HOPS, seed=2) == Difference(0.0, "")


@torch.inference_mode()
def test_what_alternates_is_what_a_step_writes(alternating: OnnxMotion) -> None:
    state = alternating.init_state(2)
    before = named_tensors(state)
    places = []
    for now in situations(alternating, 2, 3):
        hop = now.features, now.speech, now.controls
        alternating.step(*hop, state, torch.ones(2, dtype=torch.bool))
        places.append({name: held.data_ptr() for name, held in named_tensors(state).items()})
    assert places[0] != places[1]
    assert places[0] == places[2]
    assert named_tensors(state)["home"] is before["home"]
    assert state.frame.tolist() == [3, 3]


@torch.inference_mode()
def test_back_ends_go_on_from_each_other_where_states_alternate(alternating: OnnxMotion) -> None:
    mixed, alone = alternating.init_state(3), alternating.init_state(3)
    for n, now in enumerate(situations(alternating, 3, 50)):
        for state in (mixed, alone):
            state.reset(now.reset)
            state.clear(now.clear)
        hop = now.features, now.speech, now.controls
        computes = (alternating, alternating, alternating.model)[n % 3]
        got = computes.step(*hop, mixed, now.active)
        expected = alternating.model.step(*hop, alone, now.active)
        assert torch.allclose(got[now.active], expected[now.active], atol=TOLERANCE)


def test_without_bitwise_operations_noise_is_the_same_to_the_bit(tmp_path: Path) -> None:
    """What a card is given, computed on a CPU."""
    path = write_motion_weights(tmp_path, Nodding())
    graph = path.with_suffix(".onnx")
    export_motion(Nodding(noise=True), path, graph)
    noise, given = Nodding(noise=True), for_cuda(graph, 3)
    names = {node.op_type for node in onnx.load_model_from_string(given).graph.node}
    assert not {name for name in names if name.startswith("Bit")}
    assert any(n.op_type.startswith("Bit") for n in onnx.load(graph).graph.node)
    changed = OnnxMotion(noise, open_session(given, "cpu"))
    assert compare(noise, changed, 300, slots=3) == Difference(0.0, "")


def test_what_a_card_is_given_holds_for_one_number_of_slots(weights: Path) -> None:
    """And has nothing left that follows from an open shape, which a CPU would compute."""
    given = for_cuda(weights.with_suffix(".onnx"), 5)
    session = open_session(given, "cpu")
    assert {held.shape[0] for held in (*session.get_inputs(), *session.get_outputs())} == {5}
    with pytest.raises(Exception, match="invalid dimensions"):
        compare(Nodding(), OnnxMotion(Nodding(), session), 2, slots=3)


def test_both_are_timed(graph: OnnxMotion) -> None:
    times = time_steps({"torch": graph.model, "onnxruntime": graph}, 10, slots=2)
    assert list(times) == ["torch", "onnxruntime"]
    assert all(value > 0.0 for value in times.values())


def test_a_file_says_nothing_of_where_it_was_made(weights: Path) -> None:
    written = weights.with_suffix(".onnx").read_bytes()
    for word in (str(Path.home()), "site-packages", "small_motion", "stack_trace", ".py"):
        assert word.encode() not in written, word


def test_weights_that_fit_float16_are_kept_in_it_and_nothing_is_said(
    weights: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    halved, model = weights.parent / "halved.onnx", Nodding()
    with torch.no_grad():
        model.widely.weight.copy_(model.widely.weight.half())
    with caplog.at_level(logging.WARNING):
        export_motion(model, weights, halved)
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    saved = weights.with_suffix(".onnx").stat().st_size - halved.stat().st_size
    assert abs(saved - model.widely.weight.numel() * 2) < 500
    assert compare(model, open_graph(halved, model, weights), 50).motion <= TOLERANCE


def test_another_models_graph_is_refused(weights: Path, tmp_path: Path) -> None:
    path = weights.with_suffix(".onnx")
    other = write_motion_weights(tmp_path, Nodding(seed=1))
    with pytest.raises(ValueError, match="made from other weights"):
        open_graph(path, Nodding(seed=1), other)
    with pytest.raises(ValueError, match=r"its motion differs by [0-9.]+ "):
        open_graph(path, Nodding(seed=1), weights)  # say, of a program that has changed since
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="cannot read it"):
        open_graph(broken, Nodding(), weights)


def test_a_model_with_another_state_is_told_which(weights: Path) -> None:
    class Longer(Nodding):
        def init_state(
            self, batch: int, device: torch.device | str = "cpu", seeds: Tensor | None = None
        ) -> NoddingState:
            state = super().init_state(batch, device, seeds)
            state.loudness.lately = torch.zeros(batch, 4)
            return state

    with pytest.raises(ValueError, match=r"state differs in loudness\.lately"):
        open_graph(weights.with_suffix(".onnx"), Longer(), weights)


def test_it_is_found_beside_the_weights_or_among_the_users(
    weights: Path, elsewhere: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert isinstance(load_graph(Nodding(), weights), OnnxMotion)
    moved = tmp_path / weights.name
    moved.write_bytes(weights.read_bytes())
    elsewhere.mkdir()
    (elsewhere / "nodding.onnx").write_bytes(weights.with_suffix(".onnx").read_bytes())
    assert isinstance(load_graph(Nodding(), moved), OnnxMotion)
    assert not caplog.records


def test_one_line_says_why_there_is_none_and_what_to_do(
    weights: Path, elsewhere: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = write_motion_weights(tmp_path, Nodding(seed=1))
    assert load_graph(Nodding(seed=1), other) is None
    stale = tmp_path / "nodding.onnx"
    stale.write_bytes(weights.with_suffix(".onnx").read_bytes())
    assert load_graph(Nodding(seed=1), other) is None
    missing, refused = [record.getMessage() for record in caplog.records]
    for line in (missing, refused):
        assert line.startswith("PyTorch computes the motion")
        assert "`vivavoce export`" in line
    assert "there is none" in missing
    assert f"{stale} is refused, it was made from other weights" in refused


def test_it_never_falls_back_to_the_cpu_in_silence() -> None:
    check_providers(["CPUExecutionProvider"], "cpu")
    check_providers(["CUDAExecutionProvider", "CPUExecutionProvider"], "cuda:1")
    with pytest.raises(ProviderError, match="fell back to CPUExecutionProvider"):
        check_providers(["CPUExecutionProvider"], "cuda")


def test_a_card_is_told_whose_stream_it_computes_in(monkeypatch: pytest.MonkeyPatch) -> None:
    known = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: known)
    [(name, told)] = providers_of("cuda:1", stream=4096)
    assert name == "CUDAExecutionProvider"
    assert told["device_id"] == "1"
    assert told["enable_cuda_graph"] == "1"
    assert told["user_compute_stream"] == "4096"


@pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="knows CUDA"
)
def test_a_package_that_cannot_load_cuda_is_an_error(
    weights: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Not a session on the CPU, and nothing printed past the log."""
    known = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(
        "pipelines.exported.files.onnxruntime.get_available_providers", lambda: known
    )
    with pytest.raises(ProviderError, match="cuda"):
        open_session(for_cuda(weights.with_suffix(".onnx"), 2), "cuda", stream=4096)
    assert "Falling back" not in capfd.readouterr().out


@pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="knows CUDA"
)
def test_a_package_without_cuda_is_named(weights: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ProviderError, match="onnxruntime-gpu must take the place"):
        providers_of("cuda")


def test_what_cannot_be_exported_leaves_what_was_there(weights: Path, tmp_path: Path) -> None:
    class Branching(Nodding):
        def step(
            self, features: Tensor, speech: Tensor, controls: Tensor, state: NoddingState,
            active: Tensor,
        ) -> Tensor:  # fmt: skip
            if float(features.sum()) > 0.0:  # no graph can follow this
                return controls
            return super().step(features, speech, controls, state, active)

    path = tmp_path / "kept.onnx"
    path.write_bytes(b"before")
    with pytest.raises(ValueError, match="cannot be exported"):
        export_motion(Branching(), weights, path)
    assert [each.name for each in tmp_path.iterdir()] == ["kept.onnx"]
    assert path.read_bytes() == b"before"


def test_the_extra_is_asked_for(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ValueError, match=r"onnxscript: pip install 'vivavoce\[export\]'"):
        export_motion(Nodding(), weights, tmp_path / "never.onnx")
    assert not list(tmp_path.iterdir())
