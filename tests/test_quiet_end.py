"""A run of the tests ends with what pytest says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CODE = """
import gc
from tests import conftest
import triton.language
gc.freeze()
"""


def test_triton_says_nothing_where_a_server_froze_what_there_was() -> None:
    pytest.importorskip("triton", reason="which would")
    run = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
