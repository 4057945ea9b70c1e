"""Faces on their way to a device: brought by whoever prepares them, so that no step waits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from pipelines import uploads
from pipelines.identity import IdentityFeatures
from pipelines.pipeline import Material, QuietProgress
from pipelines.registry import find_system
from pipelines.uploads import Brought
from tests.support.cuda_calls import Runtime

SIZE = (256, 256)
CPU = torch.device("cpu")
LARGE = 1 << 16
"""Bytes from which a copy out of memory that is not pinned takes its time."""


@dataclass(frozen=True)
class Rig:
    axes: Tensor
    nodes: tuple[int, int]


class Row(NamedTuple):
    picture: Tensor
    rig: Rig


@dataclass
class Device:
    """A card whose memory is the CPU's; what is brought there is another tensor all the same."""

    runtime: Runtime
    there: list[Tensor]


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    made = Device(Runtime(monkeypatch), [])

    def brought(self: object, tensor: Tensor) -> Tensor:
        made.there.append(tensor.clone())
        return made.there[-1]

    monkeypatch.setattr(uploads, "stream_of", lambda device: made.runtime.copies)
    monkeypatch.setattr(Brought, "_brought", brought)
    return made


def identity(key: str) -> IdentityFeatures:
    return IdentityFeatures(key, {"a": np.ones(3, np.float32)}, {}, "photo")


def test_who_prepares_waits_and_who_steps_does_not(device: Device) -> None:
    made, log = [], device.runtime.log

    def make(identity: IdentityFeatures, size: tuple[int, int]) -> Row:
        made.append(Row(torch.full(size, 7.0), Rig(torch.ones(2), (3, 4))))
        return made[-1]

    brought = Brought(CPU, make)
    brought.prepare(identity("one"), (4, 2))
    assert log == ["in copies:", "the host waits for copies"]
    log.clear()
    row = brought.of(identity("one"), (4, 2))
    assert not log
    assert len(made) == 1
    assert row.picture is not made[0].picture
    assert torch.equal(row.picture, made[0].picture)
    assert (row.rig.axes.tolist(), row.rig.nodes) == ([1.0, 1.0], (3, 4))
    brought.of(identity("two"), (4, 2))  # nobody prepared it
    assert log == ["in copies:", "the host waits for copies"]


def test_on_a_cpu_it_is_what_was_made() -> None:
    row = Row(torch.ones(2), Rig(torch.ones(2), (3, 4)))
    brought = Brought(CPU, lambda identity, size: row)
    assert brought.of(identity("one"), (4, 2)) is row


class _Sources(TorchDispatchMode):
    """Where large copies come from."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[int] = []

    def __torch_dispatch__(
        self, func: Any, types: object, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        if func._overloadpacket is torch.ops.aten.copy_ and args[1].nbytes >= LARGE:
            self.found.append(args[1].untyped_storage().data_ptr())
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", ["portrait", "anitalker"])
def test_a_slot_is_given_what_lies_on_the_device(name: str, device: Device, tmp_path: Path) -> None:
    pytest.importorskip("mediapipe", reason="enrolling needs vivavoce[enrol]")
    system = find_system(name)
    photo = Path(__file__).parents[2] / "cast" / "amara.png"
    options = system.Options()
    face = system.enrol(Material(photo=photo), options, QuietProgress(tmp_path))
    renderer = system.renderer_to_export(1, SIZE, options)
    renderer.prepare(face, SIZE)
    device.runtime.log.clear()
    with _Sources() as sources:
        renderer.set_identity(0, face, [SIZE])
    assert len(sources.found) >= 4
    assert set(sources.found) <= {x.untyped_storage().data_ptr() for x in device.there}
    assert not device.runtime.log  # nobody waited, and nothing else was brought
