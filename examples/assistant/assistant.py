"""An assistant to talk to, offline: microphone -> voice detector -> an answer -> a voice -> a face.

    vivavoce serve                                (or: make serve)
    python examples/assistant/assistant.py            then open http://127.0.0.1:8090

The face and the voice detector are the server's; the page sends the user's microphone to both. What
a real assistant puts in place of `transcribe`, `think` and `speak` is one function each.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import itertools
import shutil
import subprocess
import wave
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from vivavoce_client import Client, Session, VivavoceClientError
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

EAR_RATE_HZ = 16_000
BEFORE_S = 0.6
"""Of the user's voice before the detector says so: it needs a moment to be sure."""
KEPT_S = 60
BARGE_IN = {"type": "server_vad", "interrupt_response": True}
SCRIPT = itertools.cycle(
    [
        "Hello! I heard you for {seconds:.1f} seconds. Say something else, or interrupt me.",
        "That was {seconds:.1f} seconds. I am a script, so I only pretend to understand you.",
        "In my place, a language model would have an opinion about those {seconds:.1f} seconds.",
    ]
)


def transcribe(voice: NDArray[np.int16]) -> str:
    """Speech to text: put yours here. int16 [n], 16 kHz, mono."""
    return f"{len(voice) / EAR_RATE_HZ - BEFORE_S:.1f}"


async def think(words: str) -> AsyncIterator[str]:
    """The language model: put yours here. It gives its answer sentence by sentence."""
    yield next(SCRIPT).format(seconds=float(words))


def speak(sentence: str) -> tuple[NDArray[np.int16], int]:
    """Text to speech: put yours here. int16 [n], mono, and its rate in Hz."""
    if shutil.which("espeak-ng"):
        command = ["espeak-ng", "-v", "en-gb", "-s", "150", "--stdout", sentence]
    elif shutil.which("flite"):
        command = ["flite", "-voice", "slt", "-t", sentence, "-o", "/dev/stdout"]
    else:
        raise SystemExit("no voice here; install one with: apt-get install espeak-ng")
    said = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    with wave.open(io.BytesIO(said)) as file:  # its header may not know how long it is
        frames = file.readframes(len(said))
        return np.frombuffer(frames[: len(frames) // 2 * 2], "<i2"), file.getframerate()


class Conversation:
    """One user, one session, and at most one answer under way."""

    def __init__(self, session: Session, echo: bool) -> None:
        self._session = session
        self._echo = echo
        self._heard: NDArray[np.int16] = np.zeros(0, np.int16)
        self._begin = 0  # of the user's turn, counted from the end of what was heard
        self._answer: asyncio.Task[None] | None = None

    async def listen(self, microphone: ServerConnection) -> None:
        """Keep what the user says."""
        async for packet in microphone:
            if isinstance(packet, bytes):
                heard = np.concatenate([self._heard, np.frombuffer(packet, "<i2")])
                self._heard = heard[-KEPT_S * EAR_RATE_HZ :]
                self._begin += len(packet) // 2

    async def take_turns(self) -> None:
        """Answer when the user has spoken; be silent while he speaks."""
        await self._session.update(turn_detection=BARGE_IN)  # the server stops the voice at once
        async for event in self._session.events():
            if event["type"] == "input_audio_buffer.speech_started":
                self._begin = round(BEFORE_S * EAR_RATE_HZ)
                if self._answer is not None:
                    self._answer.cancel()
            elif event["type"] == "input_audio_buffer.speech_stopped":
                self._answer = asyncio.create_task(self._respond(self._heard[-self._begin :]))

    async def _respond(self, voice: NDArray[np.int16]) -> None:
        if self._echo:
            await self._say(voice, EAR_RATE_HZ)
        else:
            words = await asyncio.to_thread(transcribe, voice)
            async for sentence in think(words):
                await self._say(*await asyncio.to_thread(speak, sentence))

    async def _say(self, voice: NDArray[np.int16], rate_hz: int) -> None:
        await self._session.push(voice, rate_hz)
        await self._session.commit()


async def run(server: str, key: str | None, port: int, echo: bool) -> None:
    """Serve the page, and talk to everybody who opens it."""
    async with Client(server, key=key) as client:
        await client.pipelines()  # it is there, and the key fits

        async def talk(user: ServerConnection) -> None:
            async with client.attach(str(await user.recv())) as session:
                conversation = Conversation(session, echo)
                turns = asyncio.create_task(conversation.take_turns())
                try:
                    await conversation.listen(user)
                except ConnectionClosed:
                    pass
                finally:
                    turns.cancel()

        async def page(user: ServerConnection, request: Request) -> Response | None:
            if request.headers.get("Upgrade"):
                return None
            html = Path(__file__).with_name("page.html").read_text()
            token = (await client.token(["open", "push", "control"]))["token"] if key else ""
            html = html.replace("{server}", server).replace("{token}", token)
            response = user.respond(HTTPStatus.OK, html)
            del response.headers["Content-Type"]
            response.headers["Content-Type"] = "text/html; charset=utf-8"
            return response

        async with serve(talk, "127.0.0.1", port, process_request=page) as listening:
            print(f"open http://127.0.0.1:{port} in a browser")
            await listening.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server", default="http://127.0.0.1:8080")
    parser.add_argument("--key", help="an API key, where the server asks for one")
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--echo", action="store_true", help="say what the user said")
    chosen = parser.parse_args()
    try:
        asyncio.run(run(chosen.server, chosen.key, chosen.port, chosen.echo))
    except (VivavoceClientError, KeyboardInterrupt) as end:
        raise SystemExit(str(end)) from None
