"""The motion of a session as its followers are told it, by events and by VMC."""

from __future__ import annotations

import asyncio
import json
from contextlib import closing
from typing import Any

import numpy as np
import pytest
import websockets

from pipelines.motion.space import MOTION_NAMES
from realtime.motion_out.run import run
from realtime.motion_out.vmc import VmcSender
from tests.support.engines import until
from tests.support.sockets import served

pytestmark = pytest.mark.asyncio(loop_scope="module")

HUM = (8_000 * np.sin(2 * np.pi * 200 * np.arange(48_000) / 24_000)).astype(np.int16)  # 2 s


async def test_who_follows_a_session_is_told_its_motion_and_controls_nothing(config: Any) -> None:
    pytest.importorskip("pythonosc", reason="VMC needs vivavoce[vmc]")
    from tests.support.osc import receiving

    async with served(config) as site:
        session, said = await site.open(), list[str]()
        server, motions = str(site.http.base_url), list[dict[str, Any]]()
        async with site.talker(session) as talker:
            url = f"{server.replace('http', 'ws')}/v1/sessions/{session}/events?motion=true"
            with receiving() as receiver, closing(VmcSender("127.0.0.1", receiver.port)) as sender:
                following = asyncio.create_task(run(server, session, None, sender, said.append))
                async with websockets.connect(url) as socket:
                    await until(lambda: len(site.service.session(session).parties) == 3)
                    await talker.append(HUM)
                    await talker.say("input_audio_buffer.commit")
                    await socket.send(json.dumps({"type": "output_audio_buffer.clear"}))
                    async for message in socket:
                        event = json.loads(message)
                        assert event["type"] != "output_audio_buffer.cleared"
                        motions += [event] if event["type"] == "avatar.motion" else []
                        if event["type"] == "output_audio_buffer.stopped":
                            break
                assert not talker.of("avatar.motion")  # it did not ask
                await until(lambda: len(receiver.frames) >= len(motions))
                await site.http.delete(f"/v1/sessions/{session}")
                await following
        assert set(motions[0]["values"]) == set(MOTION_NAMES)
        told = {motion["t"]: motion["values"] for motion in motions}
        steps = np.diff(list(told))
        assert np.median(steps) == pytest.approx(0.04)
        assert steps.min() > 0.039
        sent = dict(zip(receiver.times(), receiver.values("JawOpen"), strict=True))
        both = [(at, t) for at in sent for t in told if abs(at - t) < 1e-3]
        assert len(both) > 25
        assert all(abs(sent[at] - told[t]["jawOpen"]) < 1e-5 for at, t in both)
        assert max(sent.values()) > min(sent.values())
        assert said[0] == "the avatar moves"
        assert said[-1].startswith("the session has ended, after ")
