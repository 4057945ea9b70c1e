"""A batched renderer's drawing as an ONNX graph: the same planes, of the renderer's own tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pipelines.anitalker.batched import BatchedNetwork
from pipelines.anitalker.config import RendererConfig
from pipelines.anitalker.network import FlowWarp
from pipelines.anitalker.render_batched import BatchedAniTalker
from pipelines.batch import frame_bytes
from pipelines.exported.files import open_session
from pipelines.exported.pictures import OnnxPictures, export_pictures
from pipelines.pipeline import ExportsPictures, Size
from pipelines.portrait.batched import BatchedPortrait
from pipelines.registry import find_system
from pipelines.renderer import BatchedRenderer
from pipelines.rungs import Rungs
from pipelines.slot_tables import slot_tables, tensors_within
from pipelines.streaming import named_tensors
from pipelines.swaptalk.render_batched import BatchedSwapTalk
from tests.support.tiny_swaptalk import tiny_faces

SIZE = (64, 64)
SLOTS, FACES = 3, 2
SMALL = RendererConfig(size=32, widths=(4, 6, 8, 8), latent_dim=16, motion_dim=5, paints=True)

Build = Callable[[int], BatchedRenderer]


def anitalker(slots: int) -> BatchedRenderer:
    torch.manual_seed(0)
    network = BatchedNetwork(FlowWarp(SMALL).eval(), slots)
    return BatchedAniTalker(network, Rungs.of([(SIZE,)]))


def portrait(slots: int) -> BatchedRenderer:
    return BatchedPortrait(slots, (SIZE,))


def swaptalk(slots: int) -> BatchedRenderer:
    return BatchedSwapTalk(tiny_faces(margin=0.2), slots, "cpu", rungs=Rungs.of([(SIZE,)]))


def with_tables(build: Build, size: Size) -> BatchedRenderer:
    """All tables made, and noise where faces have pictures and numbers of any value."""
    renderer, larger = build(SLOTS), build(SLOTS + 1)
    for each in (renderer, larger):
        each.still(size, 0, torch.empty(frame_bytes(size), dtype=torch.uint8))
    chance, held = torch.Generator().manual_seed(1), dict(tensors_within(renderer))
    for way in slot_tables(renderer, larger):
        table = held[way]
        if table.dtype is torch.uint8:
            table.copy_(torch.randint(256, table.shape, generator=chance, dtype=torch.uint8))
        elif table.is_floating_point() and not way.startswith("_tables"):
            table.copy_(torch.rand(table.shape, generator=chance) - 0.5)
    if isinstance(renderer, BatchedSwapTalk):  # faces fill the frames, lower halves half of them
        (width, height), clips = size, renderer.tables.clips(size)
        middle = width / 2.0, height / 2.0
        clips.places.copy_(torch.tensor([2.0 / width, 0.0, 0.0, 2.0 / height, *middle]))
        clips.boxes.copy_(torch.tensor([height // 2, 0, height, width, 1]))
    return renderer


@torch.inference_mode()
def drawn(renderer: BatchedRenderer, draws: BatchedRenderer | OnnxPictures, rows: Tensor) -> Tensor:
    state = renderer.init_state(SLOTS)
    chance = torch.Generator().manual_seed(2)
    for tensor in named_tensors(state).values():
        tensor.copy_(torch.rand(tensor.shape, generator=chance) * 0.3)
    planes = torch.zeros(len(rows), frame_bytes(SIZE), dtype=torch.uint8)
    draws.draw(SIZE, rows, state, planes)
    return planes


@pytest.mark.parametrize(
    "build",
    [anitalker, *(pytest.param(each, marks=pytest.mark.slow) for each in (portrait, swaptalk))],
    ids=lambda build: build.__name__,
)
def test_the_graph_draws_what_the_renderer_draws(build: Build, tmp_path: Path) -> None:
    path = tmp_path / "pictures.onnx"
    export_pictures(build, SIZE, SLOTS, FACES, path)
    renderer = with_tables(build, SIZE)
    graph = OnnxPictures(open_session(path, "cpu"), renderer)
    for rows in (torch.tensor([2, 0]), torch.tensor([1, 1])):
        expected = drawn(renderer, renderer, rows)
        assert expected.float().std() > 10.0
        assert rows[0] == rows[1] or not torch.equal(*expected)
        apart = (drawn(renderer, graph, rows).int() - expected.int()).abs()
        assert int(apart.max()) <= 1  # the same sums in another order, then rounded


def test_faces_are_no_part_of_the_file(tmp_path: Path) -> None:
    """They are its inputs; and it is for renderers of as many slots."""
    path = tmp_path / "pictures.onnx"
    export_pictures(anitalker, SIZE, SLOTS, FACES, path)
    session = open_session(path, "cpu")
    names = {given.name for given in session.get_inputs()}
    assert {"rows", "state.code", "table.network._styles", "table.tables._resting"} <= names
    assert str(Path.home()).encode() not in path.read_bytes()
    with pytest.raises(ValueError, match="made for 3 slots, there are 4"):
        OnnxPictures(session, anitalker(4))


def test_what_cannot_be_exported_is_said(tmp_path: Path) -> None:
    class Peeking(BatchedAniTalker):
        def draw(self, size: Size, rows: Tensor, state: object, planes: Tensor) -> None:
            if int(rows.sum()) > 5:
                planes.zero_()

    def peeking(slots: int) -> BatchedRenderer:
        return Peeking(BatchedNetwork(FlowWarp(SMALL).eval(), slots), Rungs.of([(SIZE,)]))

    with pytest.raises(ValueError, match="the renderer cannot be exported"):
        export_pictures(peeking, SIZE, SLOTS, FACES, tmp_path / "never.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["portrait", "anitalker", "swaptalk"])
def test_every_batched_system_has_drawing_to_export(name: str) -> None:
    system = find_system(name)
    assert isinstance(system, ExportsPictures)
    size = system.sizes[0]
    assert system.renderer_to_export(2, size, system.Options()).slots == 2
