"""A peer in a network that lets nothing pass but TURN: it opens a session and counts pictures.

python -m tests.clients.relayed_peer URL KEY PICTURES
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys

import httpx
from aiortc import (
    RTCConfiguration,
    RTCIceServer,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.contrib.media import MediaBlackhole
from aiortc.mediastreams import AudioStreamTrack


async def watch(url: str, key: str, wanted: int) -> dict[str, object]:
    """What came, and by which kind of candidate of ours."""
    trusted = ssl.create_default_context()  # SSL_CERT_FILE says whom
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(headers=headers, verify=trusted, timeout=120) as http:
        servers = (await http.get(f"{url}/v1/ice-servers")).json()["ice_servers"]
        ice = [RTCIceServer(s["urls"], s["username"], s["credential"]) for s in servers]
        pc, pictures, voice = RTCPeerConnection(RTCConfiguration(ice)), 0, MediaBlackhole()
        seen = asyncio.Event()

        async def count(track) -> None:
            nonlocal pictures
            while pictures < wanted:
                await track.recv()
                pictures += 1
            seen.set()

        tasks = []
        pc.on(
            "track",
            lambda t: (
                tasks.append(asyncio.ensure_future(count(t)))
                if t.kind == "video"
                else voice.addTrack(t)
            ),
        )
        pc.addTransceiver(AudioStreamTrack(), "sendrecv")
        pc.addTransceiver("video", "recvonly")
        await pc.setLocalDescription(await pc.createOffer())
        offer = {"sdp": pc.localDescription.sdp, "type": "offer"}
        answer = await http.post(f"{url}/v1/sessions", json=offer)
        answer.raise_for_status()
        await pc.setRemoteDescription(RTCSessionDescription(answer.json()["sdp"], "answer"))
        await voice.start()
        await seen.wait()
        agent = pc.getTransceivers()[0].sender.transport.transport._connection
        pair = next(iter(agent._nominated.values()))
        await http.delete(f"{url}{answer.headers['location'].removeprefix('/talk')}")
        await pc.close()
        return {"pictures": pictures, "by": pair.local_candidate.type}


if __name__ == "__main__":
    address, secret, number = sys.argv[1:]
    sys.stdout.write(json.dumps(asyncio.run(watch(address, secret, int(number)))))
