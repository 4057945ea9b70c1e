"""What listeners may say, and how much of it."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realtime.control import BURST_EVENTS, EVENTS_PER_S, TokenBucket
from tests.support.fakes import settle
from tests.support.sessions import staged


@pytest.mark.parametrize(
    ("message", "code", "complaint"),
    [
        ("garbage", "bad_event", "Invalid JSON"),
        (b"\x00\xff", "bad_event", "Invalid JSON"),
        ('{"type":"session.update","controls":{"gaze":3}}', "bad_event", r"must lie in [0, 2]"),
        ('{"type":"session.update","controls":{"gaze":NaN}}', "bad_event", "gaze must lie"),
        ('{"type":"session.update","controls":{"gaze":true}}', "bad_event", "must be a number"),
        (
            '{"type":"session.update","controls":{"smile":1}}',
            "bad_event",
            "no 'smile'; there are: gaze, warmth",
        ),
        ('{"type":"session.update","avatar":"Nobody"}', "unknown_avatar", "Nobody"),
    ],
)
async def test_what_cannot_be_done_is_refused_in_words(
    message: str | bytes, code: str, complaint: str
) -> None:
    async with staged() as stage:
        _, channel = await stage.watch()
        channel.on_message(message)
        await settle()
        (error,) = channel.told("error")
        assert error["error"]["code"] == code
        assert complaint in error["error"]["message"]
        assert stage.handle.controls == []


async def test_an_update_that_changes_nothing_is_answered() -> None:
    async with staged() as stage:
        _, channel = await stage.watch()
        _, other = await stage.watch()
        channel.say(type="session.update")
        assert len(channel.told("session.updated")) == 1
        assert other.told("session.updated") == []


async def test_a_flood_costs_one_call_at_a_time_and_is_cut() -> None:
    async with staged() as stage:
        _, flooding = await stage.watch()
        _, other = await stage.watch()
        for n in range(5_000):
            flooding.say(type="session.update", controls={"gaze": n % 3 / 2})
        await settle()
        assert len(stage.handle.controls) == 1
        assert [e["error"]["code"] for e in flooding.told("error")] == ["rate_limited"]
        other.say(type="session.update", controls={"gaze": 0.75})
        await settle()
        assert stage.handle.controls[-1]["gaze"] == 0.75
        await stage.clock.advance(5.0)
        flooding.say(type="session.update", controls={"gaze": 2})
        await settle()
        assert stage.handle.controls[-1]["gaze"] == 2


def test_a_token_bucket_lets_through_what_it_says() -> None:
    bucket = TokenBucket(EVENTS_PER_S, BURST_EVENTS, 0.0)
    assert sum(bucket.take(0.0) for _ in range(1_000)) == BURST_EVENTS
    assert sum(bucket.take(1.0) for _ in range(1_000)) == EVENTS_PER_S
    assert sum(bucket.take(100.0) for _ in range(1_000)) == BURST_EVENTS


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        st.sampled_from(["type", "event_id", "avatar", "controls", "motion_events"]), json_values
    ),
    st.dictionaries(st.sampled_from(["gaze", "warmth", "smile"]), json_values),
)
async def test_no_update_escapes_as_an_exception(
    event: dict[str, object], controls: dict[str, object]
) -> None:
    async with staged() as stage:
        _, channel = await stage.watch()
        for said in (event, {**event, "type": "session.update", "controls": controls}):
            channel.on_message(json.dumps(said))
        await settle()
        assert not stage.session.closing
