"""What the server's processes do first: end with their starter, keep or leave their share.

No privilege is needed for any of it, and where a kernel does not know a request, nothing happens.
A lower niceness would need one, and rank by niceness alone would not do: Linux with autogroups
(the default of most desktops' kernels) compares it only within a session of processes.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import signal
import struct
import threading

_PR_SET_PDEATHSIG = 1
_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}
"""Numbers of the system call, which the C library does not wrap."""
_ATTRIBUTES = struct.Struct("=IIQiIQQQ")
SHORT_SLICE_S = 0.0001
"""The least that Linux takes: whoever computes for longer is interrupted, not kept waiting."""
LONG_SLICE_S = 0.1


def die_with_parent(parent: int) -> None:
    """End this process when the thread that started it ends, however that comes about.

    parent: process id of the starter, which may have ended before this call.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def claim_share() -> None:
    """Have this process compete as a session of its own for the processor: where sessions share it
    equally, whatever they run, a browser of twenty threads leaves it half and not a twentieth.

    Signals of the terminal no longer reach it.
    """
    if os.getsid(0) != os.getpid():
        os.setsid()


def take_turns_early() -> None:
    """Have this thread, and those it starts, run soon after they wake, in many short turns: for
    whatever computes for moments at a time and must not be late (Linux 6.12 and later)."""
    _ask_slice(SHORT_SLICE_S)


def take_turns_late(niceness: int) -> None:
    """Have this thread, and those it starts, yield to others by `niceness` at least, in few long
    turns."""
    yield_thread(threading.get_native_id(), niceness)
    _ask_slice(LONG_SLICE_S)


def yield_thread(thread: int, niceness: int) -> None:
    """Have a thread, by its native id, and those it starts from now on, yield by `niceness` at
    least. It cannot take that back."""
    with contextlib.suppress(ProcessLookupError):  # it has ended
        held = os.getpriority(os.PRIO_PROCESS, thread)
        os.setpriority(os.PRIO_PROCESS, thread, max(held, niceness))


def yield_process(process: int, niceness: int) -> None:
    """The same of all threads of a process: to Linux niceness is a thread's."""
    with contextlib.suppress(FileNotFoundError):  # it has ended
        for thread in os.listdir(f"/proc/{process}/task"):
            yield_thread(int(thread), niceness)


def _ask_slice(seconds: float) -> None:
    number = _SCHED_SETATTR.get(platform.machine())
    if number is None:
        return
    nice = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    request = _ATTRIBUTES.pack(
        _ATTRIBUTES.size, os.SCHED_OTHER, 0, nice, 0, round(seconds * 1e9), 0, 0
    )
    ctypes.CDLL(None, use_errno=True).syscall(number, 0, request, 0)
