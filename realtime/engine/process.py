"""The inference process: one loop that reads what media processes send, and steps.

Only this process touches tensors. Everything happens in one thread, between steps, but building
pipelines and preparing faces; so there are no locks, and what a step reads cannot change.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import traceback
from collections import deque
from collections.abc import Callable

from pipelines.identity import IdentityCache, IdentityStore
from realtime.engine import wire
from realtime.engine.config import EngineConfig
from realtime.engine.costs import make_costs
from realtime.engine.desk import InferenceDesk
from realtime.engine.device import choose_device, use_one_thread
from realtime.engine.peers import Door
from realtime.processes import claim_share, die_with_parent, take_turns_early


class _Posts:
    """Functions that other threads want to have run in this one."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._functions: deque[Callable[[], None]] = deque()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        selector.register(self._bell, selectors.EVENT_READ, self._run)

    def post(self, function: Callable[[], None]) -> None:
        """Have it run soon. From any thread."""
        self._functions.append(function)
        os.eventfd_write(self._bell, 1)

    def _run(self, events: int) -> None:
        os.eventfd_read(self._bell)
        while self._functions:
            self._functions.popleft()()


def run_inference(
    config: EngineConfig, listener: socket.socket, secret: bytes, parent: int
) -> None:
    """The process's main function: serve until the process `parent` ends, or ends us."""
    die_with_parent(parent)
    claim_share()
    take_turns_early()
    use_one_thread()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # our parent ends us, not the terminal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        _serve(config, listener, secret)
    except (ValueError, ImportError) as error:
        _excuse(listener, error)
    except BaseException:  # noqa: BLE001 - the last words of this process
        traceback.print_exc()
    # Threads of tensor libraries and of preparations do not survive an orderly end.
    os._exit(1)


def _serve(config: EngineConfig, listener: socket.socket, secret: bytes) -> None:
    selector = selectors.DefaultSelector()
    device = choose_device(config.device, tf32=config.tf32)
    costs = make_costs(config, device, float(len(os.sched_getaffinity(0))))
    cache = IdentityCache(IdentityStore(config.identities), config.cache_bytes)
    desk = InferenceDesk(config, device, costs, cache, _Posts(selector).post)
    Door(listener, secret, selector, desk)
    while True:
        worked = desk.work()
        for key, events in selector.select(0 if worked else desk.rest_s()):
            key.data(events)


def _excuse(listener: socket.socket, error: Exception) -> None:
    """Tell our parent, which has connected already, why there will be no engine."""
    listener.settimeout(5.0)
    peer, _ = listener.accept()
    peer.settimeout(5.0)
    peer.send(wire.pack(wire.ENDED, wire.Ended(0, f"the inference process cannot start: {error}")))
    while peer.recv(wire.MESSAGE_BYTES):  # or what we said might be lost with what we did not read
        pass
