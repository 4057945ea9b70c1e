"""`benchmarks.gpu`: faces baked here and repeated there, kernels listened to, work counted."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks.gpu.card import device_ms, in_a_graph, wall_ms
from benchmarks.gpu.counting import Counted, Launch, counting
from benchmarks.gpu.faces import Baked, fill, read, rows_of, write
from benchmarks.gpu.kernels import OPS, Call, Op, compare, listening, share_of_bound
from benchmarks.gpu.pipelines import PIPELINES
from benchmarks.gpu.tf32 import as_tf32, rounding
from kernels.bounds import H200, Work
from pipelines.audio.mel import LogMel
from pipelines.slot_tables import slot_tables

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")


@dataclass
class Pictures:
    wide: Tensor
    small: Tensor


class Layer(nn.Module):
    def __init__(self, slots: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(5, 5))
        self.table = torch.zeros(slots * 4, 3)


class Painter:
    """A renderer's tables as they come: in modules, dataclasses and dicts; one names another."""

    __module__ = "pipelines.painter"

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.layer = Layer(slots)
        self.by_size = {(2, 2): Pictures(torch.zeros(slots, 5000), torch.zeros(slots, 2))}
        self.also = self.by_size[2, 2].wide
        self.every = torch.arange(slots)
        self.common = torch.ones(7)

    def wear(self, slot: int, face: float) -> None:
        self.by_size[2, 2].wide[slot] = face
        self.by_size[2, 2].small[slot] = face
        self.layer.table[slot * 4 : slot * 4 + 2] = face


@pytest.fixture
def baked(tmp_path: Path) -> Baked:
    """Two faces, written and read."""
    painter = Painter(2)
    for slot in (0, 1):
        painter.wear(slot, slot + 0.5)
    rows = rows_of(painter, Painter(2), slot_tables(painter, Painter(3)))
    path = tmp_path / "faces.safetensors.gz"
    write(path, {"painter": Baked(2, ((2, 2),), rows)})
    with pytest.raises(ValueError, match="holds no faces of sculptor"):
        read(path, "sculptor")
    return read(path, "painter")


def test_what_faces_wrote_is_found_and_kept_small(baked: Baked) -> None:
    assert (baked.faces, baked.sizes) == (2, ((2, 2),))
    names = {"layer.table", "by_size.(2, 2).wide", "by_size.(2, 2).small"}
    assert set(baked.rows) == names  # neither what is one for all nor what no face writes
    assert baked.rows["by_size.(2, 2).wide"].held.dtype is torch.float16
    assert baked.rows["layer.table"].held.shape == (2, 2, 3)  # two of four rows hold anything


def test_faces_repeat_over_all_slots(baked: Baked) -> None:
    painter = Painter(5)
    assert fill(painter, baked) == 4 * (5000 + 2 + 4 * 3)
    worn = [0.5, 1.5, 0.5, 1.5, 0.5]
    assert painter.by_size[2, 2].small[:, 1].tolist() == worn
    assert painter.also[:, 4999].tolist() == worn
    assert painter.layer.table[:, 0].view(5, 4)[:, 1].tolist() == worn
    assert not painter.layer.table.view(5, 4, 3)[:, 2:].any()
    assert painter.every.tolist() == [0, 1, 2, 3, 4]


def test_faces_of_another_renderer_are_refused(baked: Baked) -> None:
    painter = Painter(2)
    del painter.layer
    with pytest.raises(ValueError, match=r"nothing is called layer\.table"):
        fill(painter, baked)
    painter = Painter(2)
    painter.layer.table = torch.zeros(8, 2)
    with pytest.raises(ValueError, match=r"layer\.table is \[8, 2\]"):
        fill(painter, baked)


def log_mel_of_noise() -> Any:
    features = LogMel()
    state = features.init_state(2)
    active = torch.ones(2, dtype=torch.bool)
    return lambda: features.step(torch.randn(2, 640) * 0.1, state, active)


def test_no_kernel_is_forgotten() -> None:
    """Each that a public function launches is in the table, and is called as it says."""
    launched = set()
    for path in (ROOT / "kernels").glob("*.py"):
        public = ""
        for line in path.read_text().splitlines():
            if found := re.match(r"def ([a-z]\w*)\(", line):
                public = found[1]
            if re.search(r"from kernels\.\w+_triton import \w+ as launch", line):
                launched.add((f"kernels.{path.stem}", public))
    assert {(op.module, op.name) for op in OPS} == launched
    assert all(callable(op.function) for op in OPS)


@pytest.mark.filterwarnings("ignore")
def test_a_kernel_is_tried_with_what_a_step_gave_it() -> None:
    step = log_mel_of_noise()
    with listening(OPS) as calls:
        step()
    step()
    [call] = calls
    assert call.op.name == "log_mel"
    found = compare(call, interpret=True)
    assert found["relative"] < 1e-5
    share = share_of_bound(call, H200, CPU, 3)
    assert share["bytes"] > 0
    assert share["us_p50"] > share["least_us"]


@pytest.mark.parametrize(("cache", "turns"), [(0, 1), (1 << 17, 48), (1 << 40, 128)])
def test_calls_that_are_timed_take_turns_over_more_than_a_cache_holds(
    cache: int, turns: int
) -> None:
    places: list[int] = []

    def touch(x: Tensor) -> Tensor:
        places.append(x.data_ptr())
        return x + 1.0

    op = Op("tests", "touch", lambda module, arguments: Work(8 * 1024, 0))
    x = torch.zeros(1024)

    class Touching(Call):
        def run(self, arguments: Any = None) -> Any:
            return touch(**arguments)

    found = share_of_bound(Touching(op, {"x": x}), H200, CPU, 1200, cache)
    assert len(set(places)) == turns
    assert places[0] == x.data_ptr()
    assert places[: len(places) - turns] == places[turns:]
    assert found["in_cache"] is (turns == 128)


@pytest.mark.filterwarnings("ignore")
def test_a_wrong_kernel_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    step = log_mel_of_noise()
    with listening(OPS) as calls:
        step()
    import kernels.log_mel_triton as launcher

    right = launcher.log_mel
    monkeypatch.setattr(launcher, "log_mel", lambda *a, **k: right(*a, **k) * 1.01)
    assert 0.005 < compare(calls[0], interpret=True)["relative"] < 0.02


def test_products_and_convolutions_are_counted() -> None:
    x, conv = torch.randn(2, 3, 8, 8), nn.Conv2d(3, 5, 3, padding=1, bias=False)
    a, b = torch.randn(7, 11), torch.randn(11, 13)
    with torch.inference_mode(), counting(()) as counted:
        y = conv(x)
        a @ b
        y.view(-1).add_(1.0)
    of_conv, product, added = counted.launches
    assert of_conv.work.flops == 2 * 2 * 5 * 8 * 8 * 3 * 9
    assert of_conv.work.bytes == 4 * (x.numel() + conv.weight.numel() + y.numel())
    assert product.work == Work(4 * (7 * 11 + 11 * 13 + 7 * 13), 2 * 7 * 11 * 13)
    assert added.work.bytes == 4 * 2 * y.numel()


def test_an_operation_of_kernels_counts_as_its_work_says() -> None:
    step = log_mel_of_noise()
    with torch.inference_mode(), counting(OPS) as counted:
        step()
    named = counted.by_name()
    assert named["log_mel"].bytes > 0
    assert "aten::fft_rfft" not in named  # its twin's own operations


def test_counts_of_few_faces_tell_of_many() -> None:
    def of(faces: int) -> Counted:
        return Counted([Launch("a", Work(100 + 10 * faces, 7 * faces))])

    assert of(2).scaled(of(4), 2, 4, 64).launches == of(64).launches
    with pytest.raises(ValueError, match="1 and 0 launches"):
        of(2).scaled(Counted(), 2, 4, 64)


def test_time_is_taken_on_a_cpu_too() -> None:
    done: list[int] = []
    work = in_a_graph(lambda: done.append(1), CPU, 10)
    assert len(device_ms([work], 4, CPU)) == 4
    assert len(wall_ms(work, 5, CPU, limit_s=60.0)) == 5
    assert len(wall_ms(work, 100, CPU, limit_s=0.0)) == 3
    assert len(done) == 1 + 4 + 2 + 5 + 2 + 3


def test_numbers_are_rounded_as_matrix_units_do() -> None:
    step = 2.0**-10
    x = torch.tensor([1.0, 1.0 + 0.4 * step, 1.0 + 0.6 * step, -1.0 - 0.6 * step, 0.0, -3e-9])
    rounded = as_tf32(x)
    assert rounded[:5].tolist() == [1.0, 1.0, 1.0 + step, -1.0 - step, 0.0]
    assert abs(float(rounded[5] / x[5]) - 1.0) < step
    assert as_tf32(x.double()).equal(x.double())


@torch.inference_mode()
def test_convolutions_round_and_products_only_where_wanted() -> None:
    x, kernel = torch.randn(1, 3, 8, 8), torch.randn(5, 3, 3, 3)
    exact = torch.conv2d(x, kernel), x[0, 0] @ x[0, 1]
    for products in (False, True):
        with rounding(products=products):
            found = torch.conv2d(x, kernel), x[0, 0] @ x[0, 1]
        assert torch.allclose(found[0], torch.conv2d(as_tf32(x), as_tf32(kernel)), atol=1e-5)
        assert not torch.allclose(found[0], exact[0], atol=1e-5)
        assert torch.equal(found[1], exact[1]) is not products


def bare(code: str) -> str:
    """What a program prints on a machine with torch, triton, numpy and safetensors."""
    command = [sys.executable, "tests/support/bare_machine.py", code]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.parametrize("name", PIPELINES)
def test_a_bare_machine_builds_what_is_measured(name: str) -> None:
    code = (
        "import torch; from benchmarks.gpu import __main__, parts, pipelines as p;"
        f"p.renderer_of({name!r}, 1, p.SIZES[:1], torch.device('cpu'));"
        f"p.PIPELINES[{name!r}].motion(); print('built')"
    )
    assert bare(code) == "built\n"


def test_a_bare_machine_is_bare() -> None:
    found = bare("import numpy, torch\ntry:\n import cv2\nexcept ImportError as e: print(e)")
    assert "a bare machine has no cv2" in found


@pytest.mark.slow
@pytest.mark.parametrize("name", PIPELINES)
def test_a_dry_run_measures_every_figure(name: str, tmp_path: Path) -> None:
    """Enrolled and baked here, then all of a run where nothing else is installed."""
    faces, out = tmp_path / "faces.safetensors.gz", tmp_path / "gpu.json"
    bake = ["-m", "benchmarks.gpu.bake", str(faces), "--pipelines", name, "--heights", "256"]
    subprocess.run([sys.executable, *bake, "--avatars", "freya"], cwd=ROOT, check=True)
    bare(
        "from benchmarks.gpu.__main__ import main;"
        f"main(['--faces', {str(faces)!r}, '--out', {str(out)!r}, '--dry-run', "
        f"'--pipelines', {name!r}])"
    )
    found = json.loads(out.read_text())
    assert not found["left_out"]
    assert "failed" not in out.read_text()
    figures = found["figures"]
    assert figures["graphs"][name] == {"fresh": 0, "after a reset": 0}
    assert figures["kernels"][f"{name}: right"]
    assert figures[f"steps of {name}"]["a face beside others"]["largest"] <= 1
