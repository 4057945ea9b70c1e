"""A motion model's step as one ONNX file: everything between a hop's features and its motion.

The model's `step` writes its state in place. Here it is given clones of the graph's inputs to write
to, and what they hold afterwards are the graph's outputs; `torch.export` makes of that a function
without side effects. Needs the extra `export` (onnx and onnxscript).
"""

from __future__ import annotations

import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from pipelines.exported.files import FORMAT, open_graph
from pipelines.exported.runner import INPUTS, MOTION, NEW
from pipelines.exported.situations import Situation, situations
from pipelines.motion.model import MotionModel
from pipelines.pipeline import file_digest
from pipelines.streaming import SlotState, map_tensors, named_tensors

if TYPE_CHECKING:
    import onnx

OPSET = 20
MOST_SLOTS = 64
TRIED = 200
"""Hops over which a file must agree with PyTorch before it is kept."""
_EXAMPLE_SLOTS = 3  # any number but 0 and 1, which are never traced as variable
_HALVED = 1024  # weights; smaller tensors stay as they are


def export_motion(model: MotionModel, weights: Path, path: Path) -> None:
    """Write the step of `model`, which was loaded from `weights`, to `path`.

    The file appears whole, and only if it gives what the model gives.

    Raises:
        ValueError: the extra is missing, the model cannot be exported, or the graph disagrees.
        OSError: the folder cannot be written.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401 - torch's exporter imports it
    except ImportError as error:
        raise ValueError(f"exporting needs {error.name}: pip install 'vivavoce[export]'") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside the file it may replace; made first, so that a folder without access costs no minute.
    handle, name = tempfile.mkstemp(".onnx", f".{path.stem}-", path.parent)
    os.close(handle)
    made = Path(name)
    try:
        graph = _graph(model)
        _halve(graph)
        onnx.helper.set_model_props(
            graph,
            {
                "format": FORMAT,
                "weights": weights.stem,
                "weights_sha256": file_digest(weights),
                "made_by": f"vivavoce, torch {torch.__version__}",
            },
        )
        onnx.save(graph, made)
        open_graph(made, model, weights, hops=TRIED)
        made.chmod(0o644)
        made.replace(path)
    finally:
        made.unlink(missing_ok=True)


class _Step(nn.Module):
    """A step as a function of tensors."""

    def __init__(self, model: MotionModel, state: SlotState, written: frozenset[str]) -> None:
        super().__init__()
        self.model = model
        self._like = state
        self._written = written

    def forward(
        self, features: Tensor, speech: Tensor, controls: Tensor, active: Tensor,
        tensors: list[Tensor],
    ) -> list[Tensor]:  # fmt: skip
        """The motion, then the new values of those tensors that a step writes."""
        given = iter(tensors)
        state = map_tensors(self._like, lambda _: next(given).clone())
        motion = self.model.step(features, speech, controls, state, active)
        held = named_tensors(state)
        return [motion, *(held[name] for name in held if name in self._written)]


@torch.no_grad()
def _graph(model: MotionModel) -> onnx.ModelProto:
    from onnxscript import optimizer

    model = model.eval().requires_grad_(False)
    state: SlotState = model.init_state(_EXAMPLE_SLOTS)
    now = next(situations(model, _EXAMPLE_SLOTS, 1))
    written = _written_names(model, state, now)
    names = list(named_tensors(state))
    slots = torch.export.Dim("slots", min=1, max=MOST_SLOTS)
    with quiet():
        try:
            program = torch.export.export(
                _Step(model, state, written),
                (now.features, now.speech, now.controls, now.active, _tensors(state)),
                dynamic_shapes=(*[{0: slots}] * len(INPUTS), [{0: slots}] * len(names)),
            )
            exported = torch.onnx.export(
                program,
                input_names=[*INPUTS, *names],
                output_names=[MOTION, *(NEW + name for name in names if name in written)],
                opset_version=OPSET,
                dynamo=True,
                optimize=False,  # its rules take `x + 1e-12` for `x`, and log(0) follows
                verbose=False,
            )
        except Exception as error:  # any of two exporters' kinds
            raise ValueError(f"the motion model cannot be exported: {error}") from error
        assert exported is not None
        # What those rules do besides, ONNX Runtime does when it opens the file.
        optimizer.inline(exported.model)
        optimizer.fold_constants(exported.model)
        optimizer.remove_unused_nodes(exported.model)
    graph: onnx.ModelProto = exported.model_proto
    forget_origins(graph)
    return graph


def _tensors(state: SlotState) -> list[Tensor]:
    return [tensor.clone() for tensor in named_tensors(state).values()]


def _written_names(model: MotionModel, state: SlotState, now: Situation) -> frozenset[str]:
    """The tensors of a state that a step writes; seeds, for one, it only reads."""
    tried = map_tensors(state, Tensor.clone)
    before = {name: tensor._version for name, tensor in named_tensors(tried).items()}
    model.step(now.features, now.speech, now.controls, tried, now.active)
    after = named_tensors(tried)
    return frozenset(name for name, version in before.items() if after[name]._version != version)


def forget_origins(graph: onnx.ModelProto) -> None:
    """Drop what exporters note beside every node: paths of source files and stack traces."""
    graph.doc_string = graph.graph.doc_string = ""
    for part in (graph, *graph.functions, graph.graph):
        del part.metadata_props[:]
    nodes: list[Any] = [*graph.graph.node, *(n for f in graph.functions for n in f.node)]
    for part in (*nodes, *graph.graph.input, *graph.graph.output, *graph.graph.value_info):
        part.doc_string = ""
        del part.metadata_props[:]


def _halve(graph: onnx.ModelProto) -> None:
    """Keep large weights in float16 where that loses nothing: shipped ones were float16 before."""
    import onnx

    casts = []
    for held in graph.graph.initializer:
        values = onnx.numpy_helper.to_array(held)
        if values.dtype != np.float32 or values.size < _HALVED:
            continue
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if np.array_equal(half.astype(np.float32), values):
            name, held.name = held.name, held.name + ".half"
            held.CopyFrom(onnx.numpy_helper.from_array(half, held.name))
            casts.append(onnx.helper.make_node("Cast", [held.name], [name], to=1))
    for cast in reversed(casts):
        graph.graph.node.insert(0, cast)


@contextmanager
def quiet() -> Iterator[None]:
    """Without the exporters' warnings, which are about their own insides."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
