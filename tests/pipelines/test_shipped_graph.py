"""The graph that ships is that of the weights that ship, and small."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.exported.export import export_motion
from pipelines.exported.files import TOLERANCE, load_graph, open_graph
from pipelines.exported.runner import OnnxMotion
from pipelines.exported.situations import compare
from pipelines.motion.diffusion import load_motion
from pipelines.motion.space import PORTRAIT_WEIGHTS
from pipelines.weights import find_weights, shipped_weights_dir

WEIGHTS = find_weights(PORTRAIT_WEIGHTS)
MOST_BYTES = 40 * 1000 * 1000  # of all weights


@pytest.fixture(scope="module")
def graph() -> OnnxMotion:
    """Raises where it is stale: run `vivavoce export portrait`."""
    return open_graph(WEIGHTS.with_suffix(".onnx"), load_motion(), WEIGHTS)


def test_it_is_found(graph: OnnxMotion) -> None:
    assert isinstance(load_graph(graph.model, WEIGHTS), OnnxMotion)


def test_a_thousand_hops_of_three_slots_are_those_of_pytorch(graph: OnnxMotion) -> None:
    """Slots pause, restart and are cut off on the way; integers, and so all noise, to the bit."""
    found = compare(graph.model, graph, 1000, seed=2)
    assert found.motion <= TOLERANCE
    assert not found.state


def test_weights_are_few_bytes() -> None:
    sizes = {path.name: path.stat().st_size for path in shipped_weights_dir().iterdir()}
    assert sizes[f"{PORTRAIT_WEIGHTS}.onnx"] < 8_000_000
    assert sum(sizes.values()) < MOST_BYTES


@pytest.mark.slow
def test_it_can_be_made_anew(graph: OnnxMotion, tmp_path: Path) -> None:
    """Which is kept only if it agrees with PyTorch."""
    export_motion(graph.model, WEIGHTS, tmp_path / "anew.onnx")
    assert open_graph(tmp_path / "anew.onnx", graph.model, WEIGHTS)
