"""From a server's frames to a virtual camera and microphone."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import av
import numpy as np

from realtime.camera.device import Camera, open_camera
from realtime.camera.fit import I420, Fit
from realtime.camera.missing import CLIENT, Missing
from realtime.camera.sound import Pcm, Voice, hear_microphone, open_voice
from realtime.errors import NEEDS_TOKEN, Unauthorized

FPS = 25
MOST_HEARD = 25
"""Packets of the microphone that wait, half a second; then the oldest are dropped."""


class MediaFrame(Protocol):
    """A picture and the sound of the same 40 ms, as `vivavoce_client.Frame` has them."""

    @property
    def picture(self) -> av.VideoFrame:
        """Of any size."""

    @property
    def sound(self) -> Pcm:
        """int16 [1920] at 48 kHz."""


@dataclass(frozen=True)
class Wanted:
    """What the command was asked for.

    session: to watch; else `avatar` (id or name) is opened with the microphone.
    late_pictures: frames by which pictures are held back, where the voice's cable is slow.
    """

    server: str
    session: str | None
    avatar: str | None
    frame: str
    token: str | None = None
    width: int = 1280
    height: int = 720
    camera: str | None = None
    voice: str | None = None
    microphone: str | None = None
    late_pictures: int = 0


async def run(wanted: Wanted, say: Callable[[str], None]) -> None:
    """Show the avatar until the session ends, or it is cancelled.

    Raises:
        Missing: a driver or program is not there.
        RuntimeError: the server cannot be reached, or refuses.
    """
    client_package = _client_package()
    fit = Fit(wanted.width, wanted.height)
    try:
        async with AsyncExitStack() as stack:
            camera = open_camera(wanted.width, wanted.height, FPS, wanted.camera)
            stack.callback(camera.close)
            voice = open_voice(wanted.voice)
            stack.callback(voice.close)
            client = await stack.enter_async_context(
                client_package.Client(wanted.server, key=wanted.token)
            )
            frames = await stack.enter_async_context(_frames(client_package, client, wanted))
            say(f"the avatar is on {camera.name} and {voice.name}; Ctrl-C ends it")
            await show(frames, camera, voice, fit, wanted.late_pictures)
            say("the session has ended")
    except client_package.VivavoceClientError as error:
        refused = getattr(error, "status", None) == Unauthorized.status
        raise RuntimeError(NEEDS_TOKEN if refused else str(error)) from error


async def show(
    frames: AsyncIterator[MediaFrame], camera: Camera, voice: Voice, fit: Fit, late_pictures: int
) -> int:
    """Give every frame to both devices at once, until there are no more. How many there were.

    Devices that wait hold up nothing but this: frames that come meanwhile are their owner's to
    drop. So that no picture is lost at the end, those held back are shown then.
    """
    count = 0
    held: deque[I420] = deque()
    async for frame in frames:
        held.append(await asyncio.to_thread(fit, frame.picture))
        sends = [asyncio.to_thread(voice.write, frame.sound)]
        if len(held) > late_pictures:
            sends.append(asyncio.to_thread(camera.send, held.popleft()))
        await asyncio.gather(*sends)
        count += 1
    for picture in held:
        await asyncio.to_thread(camera.send, picture)
    return count


def _client_package() -> Any:
    try:
        import vivavoce_client
    except ModuleNotFoundError as error:
        raise Missing(CLIENT) from error
    return vivavoce_client


@asynccontextmanager
async def _frames(package: Any, client: Any, wanted: Wanted) -> AsyncIterator[AsyncIterator[Any]]:
    """Frames of somebody's session, or of one of our own that hears the microphone."""
    if wanted.session is not None:
        async with client.view(wanted.session) as view:
            yield view.frames()
        return
    microphone = heard_microphone()
    stop = hear_microphone(wanted.microphone, microphone.heard.append)
    try:
        avatar = await find_avatar(client, wanted.avatar)
        opened = client.open(
            audio="microphone", avatar=avatar, frame=wanted.frame, microphone=microphone
        )
        async with opened as session:
            yield session.frames()
    finally:
        stop()


def heard_microphone() -> Any:
    """A track of what is put into its `heard`, int16 [960] at a time, on whatever thread. A machine
    that falls behind loses the oldest."""
    from vivavoce_client.microphone import PACKET, RealTimeTrack

    class Heard(RealTimeTrack):
        def __init__(self) -> None:
            super().__init__()
            self.heard: deque[Pcm] = deque(maxlen=MOST_HEARD)

        def packet(self, number: int) -> Pcm:
            return self.heard.popleft() if self.heard else np.zeros(PACKET, np.int16)

    return Heard()


async def find_avatar(client: Any, name: str | None) -> str | None:
    """The id of an avatar that is called so, or has that id.

    Raises:
        RuntimeError: there is none such.
    """
    if name is None:
        return None
    known = await client.avatars()
    for avatar in known:
        if name == avatar["id"] or name.lower() == avatar["name"].lower():
            return str(avatar["id"])
    names = ", ".join(sorted(avatar["name"] for avatar in known))
    raise RuntimeError(f"there is no avatar {name!r}; there are: {names}")
