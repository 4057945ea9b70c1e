"""An avatar's motion as ARKit blendshapes, and as VMC to a receiver on loopback."""

import errno
import math
from collections.abc import AsyncIterator, Mapping
from contextlib import closing
from typing import Any

import numpy as np
import pytest

from pipelines.motion.space import BLENDSHAPES as MOVED
from realtime.motion_out import arkit, vmc
from realtime.motion_out.arkit import Head
from realtime.motion_out.run import events_url, follow
from tests.support.peers import until

REST = dict.fromkeys(MOVED, 0.0)


def turned(quaternion, vector):
    """A vector after the turn."""
    *axis, w = quaternion
    axis = np.array(axis)
    return vector + 2 * np.cross(axis, np.cross(axis, vector) + w * np.asarray(vector))


def test_all_that_the_avatar_moves_has_a_name_of_arkit():
    assert len(arkit.BLENDSHAPES) == len(set(arkit.BLENDSHAPES)) == 52
    assert set(MOVED) <= set(arkit.BLENDSHAPES)
    given = {name: (n + 1) / 100 for n, name in enumerate(MOVED)}
    weights = arkit.blendshapes(given)
    assert {name: weights[name] for name in MOVED} == given
    assert sum(weights.values()) == pytest.approx(sum(given.values()))


def test_gaze_is_where_the_subject_looks():
    weights = arkit.blendshapes({"gazeYaw": 15.0, "gazePitch": -60.0})
    assert {name: weight for name, weight in weights.items() if weight} == {
        "eyeLookOutLeft": 0.5,  # the picture's right is the subject's left
        "eyeLookInRight": 0.5,
        "eyeLookDownLeft": 1.0,  # no weight is more than all
        "eyeLookDownRight": 1.0,
    }


@pytest.mark.parametrize(
    ("head", "looks", "crown"),
    [  # in Unity's space: x to the subject's right, y up, z where a model looks
        (Head(0, 0, 0), (0, 0, 1), (0, 1, 0)),
        (Head(90, 0, 0), (-1, 0, 0), (0, 1, 0)),
        (Head(0, 90, 0), (0, 1, 0), (0, 0, -1)),
        (Head(0, 0, 90), (0, 0, 1), (-1, 0, 0)),
        (Head(90, 0, 90), (-1, 0, 0), (0, 0, -1)),
    ],
)
def test_the_head_turns_as_seen(head, looks, crown):
    quaternion = vmc.quaternion(head)
    assert math.hypot(*quaternion) == pytest.approx(1)
    assert turned(quaternion, (0, 0, 1)) == pytest.approx(np.array(looks), abs=1e-9)
    assert turned(quaternion, (0, 1, 0)) == pytest.approx(np.array(crown), abs=1e-9)


def test_neck_and_head_turn_together_as_far_as_the_avatar():
    angles = []
    for address, arguments in vmc.messages(REST | {"headYaw": 20.0}, 0.0, "arkit"):
        if address == "/VMC/Ext/Bone/Pos":
            angles.append(2 * math.degrees(math.acos(arguments[7])))
    assert sum(angles) == pytest.approx(20.0)
    assert len(angles) == 2


def test_models_without_such_blendshapes_get_vowels_and_eyes():
    values = REST | {"jawOpen": 0.5, "mouthFunnel": 1.0, "eyeBlinkLeft": 0.8, "gazeYaw": 10.0}
    sent = vmc.messages(values, 0.0, "vowels")
    weights = dict(a for address, a in sent if address == "/VMC/Ext/Blend/Val")
    assert weights == pytest.approx(
        {"A": 0, "I": 0, "U": 0.5, "E": 0, "O": 0.8, "Blink_L": 0.8, "Blink_R": 0}
    )
    bones = [a[0] for address, a in sent if address == "/VMC/Ext/Bone/Pos"]
    assert bones == ["Neck", "Head", "LeftEye", "RightEye"]


async def test_a_receiver_gets_each_frame_whole():
    pytest.importorskip("pythonosc", reason="VMC needs vivavoce[vmc]")
    from tests.support.osc import receiving

    moves = [0.1, 0.4, 0.9]

    async def told():
        yield {"type": "session.created"}
        for n, jaw in enumerate(moves):
            yield {"type": "avatar.motion", "t": n / 25, "values": REST | {"jawOpen": jaw}}

    said = []
    with receiving() as receiver, closing(vmc.VmcSender("127.0.0.1", receiver.port)) as sender:
        assert await follow(told(), sender, said.append) == 3
        await until(lambda: len(receiver.frames) == 3)
    assert said == ["the avatar moves"]
    assert receiver.values("JawOpen") == pytest.approx(moves)
    assert receiver.times() == pytest.approx([0.0, 0.04, 0.08])
    frame = receiver.frames[0]
    addresses = [address.removeprefix("/VMC/Ext/") for address, _ in frame]
    assert addresses == ["OK", "T", "Bone/Pos", "Bone/Pos", *["Blend/Val"] * 52, "Blend/Apply"]
    assert frame[0] == ("/VMC/Ext/OK", (1,))


class OnAndOff:
    """A receiver to which there is a way now and then, as while a notebook changes networks."""

    def __init__(self, ways: str) -> None:
        self.ways = ways
        self.times: list[float] = []

    def send(self, values: Mapping[str, float], t: float) -> None:
        if self.ways[round(t)] == "-":
            raise OSError(errno.ENETUNREACH, "Network is unreachable")
        self.times.append(t)


async def test_a_receiver_that_is_out_of_reach_for_a_while_is_sent_to_again():
    async def told() -> AsyncIterator[dict[str, Any]]:
        for t in range(6):
            yield {"type": "avatar.motion", "t": float(t), "values": {"jawOpen": 0.1}}

    receiver, said = OnAndOff("+--+-+"), []
    assert await follow(told(), receiver, said.append) == 6
    assert receiver.times == [0.0, 3.0, 5.0]
    assert [" again" in words for words in said[1:]] == [False, True, False, True]
    assert "Network is unreachable" in said[1]


@pytest.mark.parametrize("host", ["a" * 100 + ".invalid", "a..b", " "])
def test_a_receiver_that_is_called_wrong_is_named(host: str):
    with pytest.raises(ValueError, match="nothing is called"):
        vmc.VmcSender(host, 39539)


@pytest.mark.parametrize("host", ["localhost", "127.255.255.255"])
def test_names_and_all_of_a_network_are_sent_to(host: str):
    with closing(vmc.VmcSender(host, 39539)) as sender:
        sender.send({"jawOpen": 0.1}, 0.0)
        assert sender._client._address in ("127.0.0.1", "127.255.255.255", "::1")


async def test_a_code_is_no_motion_for_rigs():
    async def told():
        yield {"type": "avatar.motion", "t": 0.0, "values": {"code0": 1.0}}

    with pytest.raises(RuntimeError, match="pipeline portrait"):
        await follow(told(), sender=None, say=str)


def test_the_address_of_a_server_under_a_prefix():
    url = events_url("https://example.org/talk/", "a/b")
    assert url == "wss://example.org/talk/v1/sessions/a%2Fb/events?motion=true"
    with pytest.raises(ValueError, match="is no address"):
        events_url("example.org", "x")
