"""OpenAI's Python client as its documentation uses it; prints what came as JSON.

.clients/openai/bin/python openai_client.py URL MODEL
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
import struct
import sys

from openai import AsyncOpenAI

RATE_HZ = 24_000


def tone(seconds: float) -> str:
    count = round(seconds * RATE_HZ)
    samples = [round(8_000 * math.sin(n / 8)) for n in range(count)]
    return base64.b64encode(struct.pack(f"<{count}h", *samples)).decode()


async def say(connection, seconds: float, *, interrupt: bool) -> dict:
    """Let it say something; the ids, the samples that came back and how it ended."""
    for _ in range(10):
        await connection.input_audio_buffer.append(audio=tone(seconds / 10))
    await connection.input_audio_buffer.commit()
    told = {"types": [], "samples": 0}
    async for event in connection:
        told["types"].append(event.type)
        if event.type == "response.output_audio.delta":
            told["samples"] += len(base64.b64decode(event.delta)) // 2
            told["item"] = event.item_id
            if interrupt and told["samples"] > 4_800 and "asked" not in told:
                told["asked"] = told["samples"] * 1000 // RATE_HZ
                await connection.response.cancel()
                await connection.output_audio_buffer.clear()
                await connection.conversation.item.truncate(
                    item_id=event.item_id, content_index=0, audio_end_ms=told["asked"]
                )
        elif event.type in ("output_audio_buffer.stopped", "output_audio_buffer.cleared"):
            told["played_ms"] = event.played_ms
            told["response"] = event.response_id
            if not interrupt:
                return told
        elif event.type == "conversation.item.truncated":
            told["truncated"] = event.item_id
            return told
    return told


async def main(url: str, model: str) -> None:
    client = AsyncOpenAI(api_key="none", websocket_base_url=url.replace("http", "ws") + "/v1")
    async with client.realtime.connect(model=model) as connection:
        created = await connection.recv()
        audio = {"input": {"format": {"type": "audio/pcm", "rate": RATE_HZ}}}
        await connection.session.update(session={"type": "realtime", "audio": audio})
        updated = await connection.recv()
        whole = await say(connection, 1.0, interrupt=False)
        cut = await say(connection, 20.0, interrupt=True)
        await connection.send({"type": "avatar.unknown", "event_id": "mine"})
        async for event in connection:
            if event.type == "error":
                break
    error = {"code": event.error.code, "event_id": event.error.event_id}
    kinds = [created.type, updated.type, updated.session.audio.input.format.rate]
    sys.stdout.write(json.dumps({"kinds": kinds, "whole": whole, "cut": cut, "error": error}))


asyncio.run(main(*sys.argv[1:]))
