"""Objects of OpenAI's Realtime API (GA), as its clients want them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PCM = "audio/pcm"
RATE_HZ = 24_000
"""Of sound whose rate the client does not tell."""

Object = dict[str, Any]


def session_object(session_id: str, model: str, wanted: Mapping[str, Any]) -> Object:
    """A session: ours, with what the client asked for laid over it."""
    ours: Object = {
        "type": "realtime",
        "object": "realtime.session",
        "id": session_id,
        "model": model,
        "output_modalities": ["audio"],
        "instructions": "",
        "tools": [],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "tracing": None,
        "truncation": "auto",
        "prompt": None,
        "audio": {
            "input": {
                "format": {"type": PCM, "rate": RATE_HZ},
                "transcription": None,
                "noise_reduction": None,
                "turn_detection": None,
            },
            "output": {
                "format": {"type": PCM, "rate": RATE_HZ},
                "voice": "none",
                "speed": 1.0,
            },
        },
    }
    return merged(ours, wanted)


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> Object:
    """`above` laid over `below`, objects into objects."""
    whole = dict(below)
    for name, value in above.items():
        held = whole.get(name)
        both = isinstance(held, Mapping) and isinstance(value, Mapping)
        whole[name] = merged(held, value) if both else value  # type: ignore[arg-type]
    return whole


def dig(whole: Any, *path: str) -> Any:
    """What lies at a path of names; None where there is nothing."""
    for name in path:
        whole = whole.get(name) if isinstance(whole, Mapping) else None
    return whole


class Response:
    """An utterance as a response: what is told when it begins and when it ends.

    Args:
        response_id, item_id: of the utterance.
        previous: item before it.
    """

    def __init__(self, response_id: str, item_id: str, previous: str | None) -> None:
        self.id = response_id
        self.item_id = item_id
        self._previous = previous
        self._part = {"item_id": item_id, "output_index": 0, "content_index": 0}

    @property
    def part(self) -> Object:
        """Where its sound belongs."""
        return {"response_id": self.id, **self._part}

    def begins(self) -> list[Object]:
        """Events at its first sound."""
        item, response = self.item("in_progress"), self._response("in_progress", [])
        return [
            {"type": "response.created", "response": response},
            self._of_output("response.output_item.added", item),
            self._of_conversation("conversation.item.added", item),
            {
                "type": "response.content_part.added",
                **self.part,
                "part": {"type": "audio", "transcript": ""},
            },
        ]

    def ends(self, *, whole: bool) -> list[Object]:
        """Events at its end."""
        item = self.item("completed" if whole else "incomplete")
        response = self._response("completed" if whole else "cancelled", [item])
        if not whole:
            response["status_details"] = {"type": "cancelled", "reason": "client_cancelled"}
        return [
            {"type": "response.output_audio.done", **self.part},
            {"type": "response.output_audio_transcript.done", **self.part, "transcript": ""},
            {
                "type": "response.content_part.done",
                **self.part,
                "part": {"type": "audio", "transcript": ""},
            },
            self._of_output("response.output_item.done", item),
            self._of_conversation("conversation.item.done", item),
            {"type": "response.done", "response": response},
        ]

    def item(self, status: str) -> Object:
        """Itself as an item of the conversation."""
        content = [{"type": "output_audio", "transcript": ""}]
        return {
            "id": self.item_id,
            "object": "realtime.item",
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": [] if status == "in_progress" else content,
        }

    def _response(self, status: str, output: list[Object]) -> Object:
        return {
            "object": "realtime.response",
            "id": self.id,
            "status": status,
            "status_details": None,
            "output": output,
            "conversation_id": None,
            "output_modalities": ["audio"],
            "max_output_tokens": "inf",
            "metadata": None,
            "usage": None,
        }

    def _of_output(self, kind: str, item: Object) -> Object:
        return {"type": kind, "response_id": self.id, "output_index": 0, "item": item}

    def _of_conversation(self, kind: str, item: Object) -> Object:
        return {"type": kind, "previous_item_id": self._previous, "item": item}
