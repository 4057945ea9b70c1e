"""The agent's half of the LiveKit plugin, with an `AgentSession` of LiveKit's. One JSON object out.

Runs in `.clients/livekit`: python livekit_plugin.py URL. There is no LiveKit server: the avatar's
process finds no room to join, and says so.
"""

from __future__ import annotations

import asyncio
import json
import sys

from livekit import api
from livekit.agents import AgentSession, Plugin
from livekit.agents.voice.avatar import DataStreamAudioOutput
from livekit.plugins import vivavoce

sys.path.insert(0, __file__.rpartition("/")[0])
from standin_room import connected

KEY, SECRET = "key", "a secret that is long enough for HMAC-SHA256"
NOWHERE = "ws://127.0.0.1:9"


async def main(url: str) -> None:
    agent, _ = connected("agent", "vivavoce-avatar")
    session = AgentSession()
    avatar = vivavoce.AvatarSession(server=url)
    report = {"plugins": [plugin.title for plugin in Plugin.registered_plugins]}
    try:
        await avatar.start(session, agent)
    except vivavoce.AvatarError as error:
        report["refusal"] = str(error)
    await avatar.start(
        session,
        agent,
        livekit_url=NOWHERE,
        livekit_api_key=KEY,
        livekit_api_secret=SECRET,
    )
    report["output"] = isinstance(session.output.audio, DataStreamAudioOutput)
    worker = avatar._worker
    assert worker is not None
    report["status"] = await worker.wait()
    await avatar.aclose()
    claims = api.TokenVerifier(KEY, SECRET).verify(avatar._token("room", "agent", KEY, SECRET))
    report["identity"], report["kind"] = claims.identity, claims.kind
    report["room"] = claims.video.room
    report["attributes"] = claims.attributes

    await avatar.start(
        session, agent, livekit_url=NOWHERE, livekit_api_key=KEY, livekit_api_secret=SECRET
    )
    await avatar.aclose()  # the avatar's process goes with its agent
    report["gone"] = avatar._worker is None
    sys.stdout.write(json.dumps(report) + "\n")


asyncio.run(main(sys.argv[1]))
