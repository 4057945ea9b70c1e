"""Async client of the vivavoce avatar server.

async with Client("http://127.0.0.1:8080") as client:
    async with client.open(audio="push") as session:
        await session.push(pcm)     # int16 at 24 kHz, as fast as it is there
        await session.commit()
        async for frame in session.frames():
            ...                     # a picture, and the sound of the same 40 ms
"""

from vivavoce_client.client import Client
from vivavoce_client.errors import (
    NotConnected,
    Refused,
    SessionEnded,
    Unreachable,
    VivavoceClientError,
)
from vivavoce_client.frames import Frame
from vivavoce_client.http import Avatar, Token
from vivavoce_client.microphone import Microphone
from vivavoce_client.session import Session
from vivavoce_client.view import View

__all__ = [
    "Avatar",
    "Client",
    "Frame",
    "Microphone",
    "NotConnected",
    "Refused",
    "Session",
    "SessionEnded",
    "Token",
    "Unreachable",
    "View",
    "VivavoceClientError",
]
