"""Data-channel events: what is understood, and how the rest is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.pipeline import Control
from realtime.client_events import (
    BadEvent,
    OutputClear,
    Ping,
    SessionUpdate,
    check_controls,
    parse_client_event,
)
from realtime.protocol import SpeechStarted


def test_session_update_with_controls():
    event = parse_client_event(
        '{"type":"session.update","event_id":"e1","avatar":"mira","controls":{"gaze":0.5}}'
    )
    assert isinstance(event, SessionUpdate)
    assert event.avatar == "mira"
    assert event.controls == {"gaze": 0.5}
    assert check_controls([Control("gaze", "Eyes"), Control("nod", "Head")], event.controls) == {
        "gaze": 0.5
    }


@pytest.mark.parametrize(
    ("message", "kind"),
    [('{"type":"ping"}', Ping), ('{"type":"output_audio_buffer.clear"}', OutputClear)],
)
def test_small_events(message, kind):
    assert isinstance(parse_client_event(message), kind)


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        ("", "Invalid JSON"),
        ("[1, 2]", "should be an object"),
        ('{"type":"session.explode"}', "session.explode"),
        ('{"event_id":"e"}', "type"),
        ('{"type":"session.update","controls":[3]}', "controls"),
        ('{"type":"session.update","avatars":"x"}', "avatars"),
        (b"\xff\xfe", "Invalid JSON"),
        ('{"type":"ping","event_id":"' + "x" * 70_000 + '"}', "at most"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_reason(message, complaint):
    with pytest.raises(BadEvent, match=complaint):
        parse_client_event(message)


def test_a_refusal_names_the_clients_event():
    with pytest.raises(BadEvent) as caught:
        parse_client_event('{"type":"nonsense","event_id":"mine-7"}')
    assert caught.value.event_id == "mine-7"


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"gaze": 3}, r"must lie in \[0, 2\], got 3"),
        ({"gaze": float("nan")}, "must lie in"),
        ({"gaze": "1"}, "must be a number"),
        ({"smile": 1}, "no 'smile'; there are: gaze"),
    ],
)
def test_controls_are_those_of_the_pipeline(values, complaint):
    with pytest.raises(BadEvent, match=complaint) as caught:
        check_controls([Control("gaze", "Eyes")], values, "mine-8")
    assert caught.value.event_id == "mine-8"


@given(st.one_of(st.text(), st.binary()))
def test_garbage_never_escapes_as_another_error(message):
    try:
        parse_client_event(message)
    except BadEvent as error:
        assert str(error)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["type", "event_id", "avatar", "controls"]), json_values))
def test_json_garbage_never_escapes_as_another_error(event):
    try:
        parse_client_event(json.dumps(event))
    except BadEvent as error:
        assert str(error)


def test_server_events_carry_type_and_a_fresh_id():
    first, second = SpeechStarted(audio_ms=40), SpeechStarted(audio_ms=40)
    assert first.event_id != second.event_id
    assert json.loads(first.model_dump_json())["type"] == "input_audio_buffer.speech_started"
