"""The agent's side: gives an `AgentSession` a face."""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import timedelta

from livekit import api, rtc
from livekit.agents import AgentSession, get_job_context
from livekit.agents.types import ATTRIBUTE_PUBLISH_ON_BEHALF
from livekit.agents.voice.avatar import AvatarSession as BaseAvatarSession
from livekit.agents.voice.avatar import DataStreamAudioOutput
from livekit.plugins.vivavoce.log import logger
from livekit.plugins.vivavoce.worker import Job

SAMPLE_RATE = 24_000
"""Hz; most speech engines have it. The agent resamples others."""
GRACE_S = 5.0
"""A worker that has not ended by then after its input was closed is killed."""


class AvatarError(Exception):
    """What is needed to start an avatar is missing."""


class AvatarSession(BaseAvatarSession[str]):
    """An avatar of a vivavoce server, in the agent's room.

    Args:
        server: its URL; by default VIVAVOCE_URL, or http://127.0.0.1:8080.
        key: an API key or a token with the scopes open, push and control; by default
            VIVAVOCE_API_KEY. On the server's own machine none is needed.
        avatar: an id (`GET /v1/avatars`); by default the server's.
        identity: of the avatar as a participant.
        name: what others see.
        sample_rate: of the speech, 8,000 to 48,000 Hz.
    """

    def __init__(
        self,
        *,
        server: str | None = None,
        key: str | None = None,
        avatar: str | None = None,
        identity: str = "vivavoce-avatar",
        name: str = "vivavoce",
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        super().__init__()
        self._server = server or os.environ.get("VIVAVOCE_URL") or "http://127.0.0.1:8080"
        self._key = key or os.environ.get("VIVAVOCE_API_KEY") or None
        self._avatar = avatar
        self._identity = identity
        self._name = name
        self._sample_rate = sample_rate
        self._worker: asyncio.subprocess.Process | None = None

    @property
    def avatar_identity(self) -> str:
        return self._identity

    @property
    def provider(self) -> str:
        return "vivavoce"

    async def start(
        self,
        agent_session: AgentSession,
        room: rtc.Room,
        *,
        livekit_url: str | None = None,
        livekit_api_key: str | None = None,
        livekit_api_secret: str | None = None,
    ) -> None:
        """Send the avatar into the room, and the agent's voice to the avatar.

        Args:
            livekit_url, livekit_api_key, livekit_api_secret: by default LIVEKIT_URL,
                LIVEKIT_API_KEY and LIVEKIT_API_SECRET.

        Raises:
            AvatarError: one of these is missing, or the agent is in no room.
        """
        url = livekit_url or _environment("LIVEKIT_URL")
        key = livekit_api_key or _environment("LIVEKIT_API_KEY")
        secret = livekit_api_secret or _environment("LIVEKIT_API_SECRET")
        await super().start(agent_session, room)
        agent = _identity_of_agent(room)
        job = Job(
            livekit_url=url,
            token=self._token(room.name, agent, key, secret),
            agent=agent,
            server=self._server,
            key=self._key,
            avatar=self._avatar,
            sample_rate=self._sample_rate,
        )
        self._worker = await _launch(job)
        agent_session.output.replace_audio_tail(
            DataStreamAudioOutput(
                room,
                destination_identity=self.avatar_identity,
                sample_rate=self._sample_rate,
                wait_remote_track=rtc.TrackKind.KIND_VIDEO,
                wait_playback_start=True,
            )
        )

    def _token(self, room: str, agent: str, key: str, secret: str) -> str:
        return (
            api.AccessToken(key, secret)
            .with_kind("agent")
            .with_identity(self._identity)
            .with_name(self._name)
            .with_ttl(timedelta(hours=6))
            .with_grants(api.VideoGrants(room_join=True, room=room))
            .with_attributes({ATTRIBUTE_PUBLISH_ON_BEHALF: agent})
            .to_jwt()
        )

    async def aclose(self) -> None:
        """The avatar leaves."""
        await super().aclose()
        worker, self._worker = self._worker, None
        if worker is None or worker.returncode is not None:
            return
        if worker.stdin is not None:
            worker.stdin.close()
        try:
            await asyncio.wait_for(worker.wait(), GRACE_S)
        except TimeoutError:
            logger.warning("the avatar's process does not end: killing it")
            worker.kill()
            await worker.wait()


async def _launch(job: Job) -> asyncio.subprocess.Process:
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "livekit.plugins.vivavoce.worker", stdin=asyncio.subprocess.PIPE
    )
    assert worker.stdin is not None
    worker.stdin.write(job.dump())
    await worker.stdin.drain()
    return worker


def _identity_of_agent(room: rtc.Room) -> str:
    job = get_job_context(required=False)
    if job is not None:
        return str(job.local_participant_identity)
    if not room.isconnected():
        raise AvatarError("the agent has not joined the room: connect it before the avatar starts")
    return str(room.local_participant.identity)


def _environment(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise AvatarError(f"{name} is not set: set it, or pass it to AvatarSession.start")
    return value
