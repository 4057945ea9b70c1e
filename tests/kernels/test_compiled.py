"""Kernels are taken by Triton's compiler, not only by its interpreter."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

# What calls each operation, and the kernels that it launches.
PORTRAIT = """
from tests.kernels.test_flow_inversion import lattices
from tests.kernels.test_portrait_frame import places, table
from kernels.blend import blend
from kernels.flow_inversion import invert
from kernels.portrait_frame import portrait_frame

ones = torch.ones(1, dtype=torch.int32)
moves, shape, to, start, carried = lattices(1, 7, 5, 35, 9, 2)
rows, planes = torch.zeros(1, dtype=torch.int64), torch.zeros(1, 384, dtype=torch.uint8)
with compiled_only() as found:
    blend(torch.ones(1, 2), torch.ones(1, 2, 1, 3), rows, ones)
    invert(moves, shape, to, start, 9 * ones, carried, 5)
    portrait_frame(table((16, 16), 16, 2), places((16, 16), 16, 2, 1), rows, (16, 16), planes)
"""

LOG_MEL = """
from pipelines.audio.mel import LogMel

mel = LogMel()
with compiled_only() as found:
    mel(torch.zeros(2, mel.hop))
"""


@pytest.mark.slow  # a minute: the frame of `portrait` is a long program
@pytest.mark.parametrize(
    ("program", "kernels"),
    [(PORTRAIT, {"_blend", "_invert", "_draw"}), (LOG_MEL, {"_log_mel_kernel"})],
    ids=["portrait", "log_mel"],
)
def test_kernels_are_compiled_for_a_hopper_card(program: str, kernels: set[str]) -> None:
    pytest.importorskip("triton", reason="its compiler")
    environment = {n: value for n, value in os.environ.items() if n != "TRITON_INTERPRET"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    before = "import json, torch\nfrom tests.support.compiled import compiled_only\n"
    command = [sys.executable, "-c", before + program + "print(json.dumps(found))"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    sizes = json.loads(done.stdout.splitlines()[-1])
    assert sizes.keys() == kernels
    assert all(size > 0 for size in sizes.values())
