"""What processes ask of the kernel for themselves."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
SCHED = Path("/proc/thread-self/sched")
SLICES = SCHED.exists() and "se.slice" in SCHED.read_text()


def run(*lines: str) -> str:
    """What a process of its own prints that imports `realtime.processes`."""
    code = "\n".join(["import os, threading", "from realtime.processes import *", *lines])
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_a_share_of_its_own_is_a_session_of_its_own():
    told = run("claim_share(); claim_share()", "print(os.getsid(0) == os.getpid())")
    assert told.strip() == "True"


def test_taking_turns_early_changes_no_priority():
    told = run("before = os.nice(0)", "take_turns_early()", "print(os.nice(0) - before)")
    assert told.strip() == "0"


@pytest.mark.skipif(not SLICES, reason="this kernel shows no slices")
def test_turns_are_short_or_long_in_threads_too():
    read = "next(line for line in open('/proc/thread-self/sched') if 'se.slice' in line)"
    told = run(
        f"show = lambda: print(int({read}.split()[-1]))",
        "take_turns_early(); show()",
        "thread = threading.Thread(target=show); thread.start(); thread.join()",
        "take_turns_late(3); show()",
    )
    assert [int(line) for line in told.split()] == [100_000, 100_000, 100_000_000]


def test_taking_turns_late_is_a_matter_of_one_thread():
    from realtime.processes import take_turns_late

    found: list[int] = []

    def work() -> None:
        take_turns_late(os.nice(0) + 3)
        take_turns_late(os.nice(0))  # never back
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [os.nice(0) + 3]
