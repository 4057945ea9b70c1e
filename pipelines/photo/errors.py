"""Why a photo or video cannot become an avatar, in words for the person who chose it."""

from __future__ import annotations

from typing import Literal

EnrolmentCode = Literal[
    "not_an_image",
    "unsupported_type",
    "image_too_large",
    "no_face",
    "several_faces",
    "face_too_small",
    "face_turned",
    "not_a_video",
    "video_too_large",
    "video_too_long",
    "video_too_short",
    "video_cut",
    "no_sound",
]


class EnrolmentError(ValueError):
    """Material cannot be enrolled; the message says what was wrong and what to do."""

    def __init__(self, code: EnrolmentCode, message: str) -> None:
        super().__init__(message)
        self.code: EnrolmentCode = code
