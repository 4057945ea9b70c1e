"""The data channel that carries events: text in, text out, nothing that can block or raise."""

from __future__ import annotations

import logging
from collections.abc import Callable

from aiortc import RTCDataChannel
from aiortc.exceptions import InvalidStateError

logger = logging.getLogger(__name__)

MAX_BUFFERED_BYTES = 1 << 20
"""A peer that does not read this much gets no further events."""


class EventChannel:
    """A thin wrap of aiortc's channel. Set `on_message` to hear what the peer sends."""

    def __init__(self, channel: RTCDataChannel) -> None:
        self._channel = channel
        self.label = channel.label
        self.dropped = 0
        """Events that were not sent, for the peer reads none or is gone."""
        self.on_message: Callable[[str | bytes], None] = lambda message: None
        channel.on("message", lambda message: self.on_message(message))

    def send(self, text: str) -> bool:
        """Send one message; False if the peer cannot take it now."""
        full = self._channel.bufferedAmount > MAX_BUFFERED_BYTES
        if full or self._channel.readyState != "open":
            self.dropped += 1
            return False
        try:
            self._channel.send(text)
        except InvalidStateError:
            self.dropped += 1
            return False
        return True
