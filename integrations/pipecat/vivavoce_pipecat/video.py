"""The video service: speech of any TTS service in, the same speech with its pictures out."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from loguru import logger
from numpy.typing import NDArray
from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    Frame,
    InterruptionFrame,
    OutputImageRawFrame,
    StartFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.ai_service import AIService
from pipecat.services.settings import ServiceSettings
from vivavoce_client import Client, VivavoceClientError
from vivavoce_client.speaker import Shown, Speaker

GRACE_S = 10.0
"""So much longer than the speech that waits an `EndFrame` is held back for it."""


@dataclass
class _Utterance:
    """What is said, or waits to be."""

    context_id: str | None
    end: TTSStoppedFrame | None = None


class VivavoceVideoService(AIService):
    """An avatar of a vivavoce server, to be put behind the TTS service.

    The audio of TTS frames is held back until the avatar says it, and goes on with its pictures,
    unchanged and in time; so does the frame that ends it. Where the server cannot be reached, or is
    lost, an error goes upstream and the voice goes on without a face.

    Args:
        server: its URL; by default VIVAVOCE_URL, or http://127.0.0.1:8080.
        key: an API key or a token with the scopes open, push and control; by default
            VIVAVOCE_API_KEY. On the server's own machine none is needed.
        avatar: an id (`GET /v1/avatars`); by default the server's.
        session: further fields of `POST /v1/sessions`, such as `size` or `frame`.
    """

    def __init__(
        self,
        *,
        server: str | None = None,
        key: str | None = None,
        avatar: str | None = None,
        session: dict[str, Any] | None = None,
        **named: Any,
    ) -> None:
        super().__init__(settings=ServiceSettings(model=None), **named)
        self._server = server or os.environ.get("VIVAVOCE_URL") or "http://127.0.0.1:8080"
        self._key = key or os.environ.get("VIVAVOCE_API_KEY") or None
        self._wanted = {"avatar": avatar, **(session or {})}
        self._open = AsyncExitStack()
        self._speaker: Speaker | None = None
        self._showing: asyncio.Task[None] | None = None
        self._utterances: deque[_Utterance] = deque()

    def can_generate_metrics(self) -> bool:
        """The time to the first sound is one."""
        return True

    # Life

    async def start(self, frame: StartFrame) -> None:
        """Open a session."""
        await super().start(frame)
        try:
            client = await self._open.enter_async_context(Client(self._server, key=self._key))
            session = await self._open.enter_async_context(client.open(**self._wanted))
            self._speaker = await self._open.enter_async_context(Speaker(session))
        except VivavoceClientError as error:
            await self._lose(f"no avatar at {self._server}: {error}", error)
            return
        self._showing = self.create_task(self._show(self._speaker))

    async def stop(self, frame: EndFrame) -> None:
        """Let the avatar finish, then leave."""
        await super().stop(frame)
        if self._speaker is not None:
            try:
                await asyncio.wait_for(self._speaker.finished(), self._speaker.waiting_s + GRACE_S)
            except TimeoutError:
                logger.warning(f"{self}: the avatar does not finish")
        await self._leave()

    async def cancel(self, frame: CancelFrame) -> None:
        """Leave at once."""
        await super().cancel(frame)
        await self._leave()

    async def cleanup(self) -> None:
        """Leave, if nothing else made us."""
        await super().cleanup()
        await self._leave()

    async def _leave(self) -> None:
        self._speaker = None
        showing, self._showing = self._showing, None
        if showing is not None:
            await self.cancel_task(showing)
        await self._open.aclose()

    async def _lose(self, message: str, error: Exception | None = None) -> None:
        """Go on without a face."""
        self._speaker = None
        await self.push_error(message, exception=error)

    # In

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Take the speech, pass on the rest."""
        await super().process_frame(frame, direction)
        if self._speaker is not None:
            try:
                if await self._take(self._speaker, frame):
                    return
            except VivavoceClientError as error:
                await self._lose(f"the avatar is lost: {error}", error)
        await self.push_frame(frame, direction)

    async def _take(self, speaker: Speaker, frame: Frame) -> bool:
        """Whether the frame is held back until it is its turn."""
        if isinstance(frame, TTSAudioRawFrame):
            if not self._utterances or self._utterances[-1].end is not None:
                self._utterances.append(_Utterance(frame.context_id))
            await speaker.push(_mono(frame), frame.sample_rate)
            return True
        if isinstance(frame, TTSStoppedFrame):
            if not self._utterances or not await speaker.commit():
                return False  # nothing was said
            self._utterances[-1].end = frame
            return True
        if isinstance(frame, TTSStartedFrame):
            await self.start_ttfb_metrics()
        elif isinstance(frame, InterruptionFrame):
            self._utterances.clear()
            await speaker.clear()
        return False

    # Out

    async def _show(self, speaker: Speaker) -> None:
        async for shown in speaker.shown():
            await self._pass_on(shown)
        if self._speaker is speaker:
            await self._lose("the server has ended the session")

    async def _pass_on(self, shown: Shown) -> None:
        said = shown.said
        picture = _picture(shown)
        # While nothing is said there is no audio to be in time with: a stream of silence would
        # make every delay that it ever meets last, as it is played in real time.
        picture.sync_with_audio = bool(len(said.pcm))
        await self.push_frame(picture)
        if len(said.pcm) and self._utterances:
            await self.stop_ttfb_metrics()
            audio = said.pcm.astype("<i2").tobytes()
            context = self._utterances[0].context_id
            await self.push_frame(TTSAudioRawFrame(audio, said.rate_hz, 1, context_id=context))
        if said.ended:
            await self._end(len(self._utterances) if said.cut else 1)

    async def _end(self, count: int) -> None:
        for _ in range(min(count, len(self._utterances))):
            end = self._utterances.popleft().end
            if end is not None:
                await self.push_frame(end)


def _mono(frame: TTSAudioRawFrame) -> NDArray[np.int16]:
    samples = np.frombuffer(frame.audio, "<i2").reshape(-1, frame.num_channels)
    return samples[:, 0] if frame.num_channels == 1 else samples.mean(axis=1).astype(np.int16)


def _picture(shown: Shown) -> OutputImageRawFrame:
    image = shown.picture.to_ndarray(format="rgb24")
    size = (shown.picture.width, shown.picture.height)
    return OutputImageRawFrame(image=image.tobytes(), size=size, format="RGB")
