"""The drawing half of a batched renderer as one ONNX file: a state and faces in, planes out.

    rows, the state's tensors, the tables of all slots -> graph -> planes, what of the state is new

For so many pictures of one size, and for renderers of as many slots. What faces are goes in as
inputs, bound to the renderer's own tables, so that a face is set as ever and no graph holds one.
Needs the extra `export`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from pipelines.batch import frame_bytes
from pipelines.exported.export import OPSET, forget_origins, quiet
from pipelines.pipeline import Size
from pipelines.renderer import BatchedRenderer
from pipelines.slot_tables import slot_tables, tensors_within
from pipelines.streaming import SlotState, map_tensors, named_tensors

if TYPE_CHECKING:
    from onnxscript import ir

ROWS, PLANES = "rows", "planes"
NEW, STATE, TABLE = "new.", "state.", "table."
"""Before the names of outputs and of inputs: of the state, and of tables by the way to them."""
_KINDS = {
    torch.float32: np.float32, torch.float16: np.float16, torch.int64: np.int64,
    torch.int32: np.int32, torch.uint8: np.uint8, torch.int8: np.int8, torch.bool: np.bool_,
}  # fmt: skip


def export_pictures(
    build: Callable[[int], BatchedRenderer], size: Size, slots: int, faces: int, path: Path
) -> None:
    """Write what draws `faces` of `slots` slots at `size`.

    build: makes the renderer for so many slots, on a CPU.

    Raises:
        ValueError: it cannot be exported; the message names the operation.
    """
    renderer, larger = build(slots), build(slots + 1)
    width, height = size
    with torch.no_grad():
        for each in (renderer, larger):  # makes tables that are made when first named
            each.still(size, 0, torch.empty(frame_bytes(size), dtype=torch.uint8))
        tables = slot_tables(renderer, larger)
        model = _traced(renderer, size, faces, tables)
    model.metadata_props.update(
        {"size": f"{width}x{height}", "slots": str(slots), "faces": str(faces)}
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    from onnxscript import ir

    proto = ir.to_proto(model)
    forget_origins(proto)
    for name in ("size", "slots", "faces"):
        proto.metadata_props.add(key=name, value=model.metadata_props[name])
    path.write_bytes(proto.SerializeToString())


class _Draw(nn.Module):
    def __init__(self, renderer: BatchedRenderer, size: Size, written: Sequence[str]) -> None:
        super().__init__()
        self.renderer, self.size, self._written = renderer, size, written
        self._like = renderer.init_state(renderer.slots)

    def forward(self, rows: Tensor, tensors: list[Tensor]) -> list[Tensor]:
        given = iter(tensors)
        state = map_tensors(self._like, lambda _: next(given).clone())
        planes = torch.zeros(rows.shape[0], frame_bytes(self.size), dtype=torch.uint8)
        self.renderer.draw(self.size, rows, state, planes)
        held = named_tensors(state)
        return [planes, *(held[name] for name in self._written)]


def _traced(renderer: BatchedRenderer, size: Size, faces: int, tables: dict[str, int]) -> ir.Model:
    from onnxscript import optimizer

    rows = torch.arange(faces) % renderer.slots
    state = renderer.init_state(renderer.slots)
    names = list(named_tensors(state))
    written = _written(renderer, size, rows, state)
    tensors = [tensor.clone() for tensor in named_tensors(state).values()]
    with quiet():
        try:
            draw = _Draw(renderer, size, written)
            program = torch.export.export(draw, (rows, tensors), strict=False)
            places = {
                held.data_ptr(): name
                for name, held in {**program.constants, **program.state_dict}.items()
                if isinstance(held, Tensor)
            }
            program = program.run_decompositions(_DECOMPOSED)
            exported = torch.onnx.export(
                program,
                input_names=[ROWS, *(STATE + name for name in names)],
                output_names=[PLANES, *(NEW + name for name in written)],
                opset_version=OPSET,
                dynamo=True,
                optimize=False,
                verbose=False,
            )
        except Exception as error:  # any of two exporters' kinds
            raise ValueError(f"the renderer cannot be exported: {error}") from error
        assert exported is not None
        model: ir.Model = exported.model
        held = dict(tensors_within(renderer))
        for way in tables:
            name = places.get(held[way].data_ptr(), "")
            if name in model.graph.initializers:  # what a picture of another size needs is not
                _make_input(model.graph, name, TABLE + way)
        optimizer.inline(model)
        optimizer.fold_constants(model)
        optimizer.remove_unused_nodes(model)
    return model


def _make_input(graph: ir.Graph, name: str, called: str) -> None:
    value = graph.initializers.pop(name)
    value.const_value = None
    value.name = called
    graph.inputs.append(value)


def _written(renderer: BatchedRenderer, size: Size, rows: Tensor, state: SlotState) -> list[str]:
    """The tensors of a state that drawing writes."""
    before = {name: tensor._version for name, tensor in named_tensors(state).items()}
    planes = torch.zeros(len(rows), frame_bytes(size), dtype=torch.uint8)
    renderer.draw(size, rows, state, planes)
    after = named_tensors(state)
    return [name for name, version in before.items() if after[name]._version != version]


def _weighted_rows(
    weight: Tensor, indices: Tensor, offsets: Tensor, scale: bool = False, mode: int = 0,
    sparse: bool = False, weights: Tensor | None = None, last: bool = False, pad: int | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Bags of as many rows each, which ONNX knows as a loop over bags only."""
    assert weights is not None
    rows = weight[indices.long()] * weights[:, None]
    none = indices.new_empty(0)
    return rows.view(offsets.shape[0], -1, weight.shape[1]).sum(1), none, none, none


def _floor_divided(number: Tensor | int, by: Tensor) -> Tensor:
    """A number over a tensor too, which the exporter takes for two tensors."""
    of = number if isinstance(number, Tensor) else torch.full_like(by, number)
    return torch.div(of, by, rounding_mode="floor")


_DECOMPOSED: dict[Any, Callable[..., Any]] = {
    torch.ops.aten.embedding_bag.padding_idx: _weighted_rows,
    torch.ops.aten.floor_divide.default: _floor_divided,
}


class OnnxPictures:
    """Draws what the renderer draws, by the file at `path`, from the renderer's own tables.

    session: opened upon that file.
    """

    def __init__(self, session: onnxruntime.InferenceSession, renderer: BatchedRenderer) -> None:
        about = session.get_modelmeta().custom_metadata_map
        if int(about["slots"]) != renderer.slots:
            raise ValueError(f"made for {about['slots']} slots, there are {renderer.slots}")
        self.faces = int(about["faces"])
        self._session, self._renderer = session, renderer
        self._inputs = [given.name for given in session.get_inputs()]
        self._written = [given.name for given in session.get_outputs() if given.name != PLANES]

    def draw(self, size: Size, rows: Tensor, state: SlotState, planes: Tensor) -> None:
        """See `BatchedRenderer.draw`; of as many rows as the file was made for."""
        held = named_tensors(state)
        given = {ROWS: rows.contiguous()} | {STATE + name: held[name] for name in held}
        given |= {TABLE + way: table for way, table in tensors_within(self._renderer)}
        binding = self._session.io_binding()
        for name in self._inputs:
            _bind(binding.bind_input, name, given[name])
        new = {name: torch.empty_like(held[name.removeprefix(NEW)]) for name in self._written}
        made = torch.empty(self.faces, planes.shape[1], dtype=torch.uint8, device=planes.device)
        for name, tensor in (new | {PLANES: made}).items():
            _bind(binding.bind_output, name, tensor)
        self._session.run_with_iobinding(binding)
        planes.copy_(made)
        for name, tensor in new.items():
            held[name.removeprefix(NEW)].copy_(tensor)


def _bind(bind: Any, name: str, tensor: Tensor) -> None:
    where = tensor.device.type, tensor.device.index or 0
    bind(name, *where, _KINDS[tensor.dtype], list(tensor.shape), tensor.data_ptr())
