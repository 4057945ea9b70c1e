"""Why a photo or video cannot become an avatar, or no better one, in words for who chose it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Literal

EnrolmentCode = Literal[
    "not_an_image",
    "unsupported_type",
    "image_too_large",
    "no_face",
    "several_faces",
    "face_too_small",
    "face_turned",
    "too_dark",
    "too_blurred",
    "not_a_video",
    "video_too_large",
    "video_too_long",
    "video_too_short",
    "video_cut",
    "no_sound",
    "no_preview",
]


class EnrolmentError(ValueError):
    """Material cannot be enrolled; the message says what was wrong and what to do."""

    def __init__(self, code: EnrolmentCode, message: str) -> None:
        super().__init__(message)
        self.code: EnrolmentCode = code


def advice_from_meta(meta: Mapping[str, str]) -> list[dict[str, str]]:
    """What would make an avatar better, as `pipelines.photo.advice` kept it in the strings of its
    identity features: `{"code", "message"}` each, the gravest first. Needs no picture."""
    kept = json.loads(meta.get("advice", "[]"))
    return [{"code": str(code), "message": str(message)} for code, message in kept]
