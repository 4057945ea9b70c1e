"""What a user hands in to become an avatar: checked, and put where it stays."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pipelines.pipeline import Material
from realtime.avatars import worker
from realtime.avatars.features import Features, describe_unsuited, takes
from realtime.avatars.records import Avatar, check_photo, sniff_video
from realtime.config import ServerConfig
from realtime.errors import AvatarRejected, UnknownPipeline
from realtime.storage import copy_durably

NAME_RULE = "1 to 60 characters, no control characters"


@dataclass(frozen=True, kw_only=True)
class Upload:
    """See `pipelines.pipeline.Material`. `source` may be an avatar with a photo."""

    name: str
    photo: BinaryIO | None = None
    video: BinaryIO | None = None
    source: BinaryIO | Avatar | None = None
    consent: str = ""
    pipeline: str = ""
    """To make it for; empty: the first loaded one that takes the material."""

    def check(self) -> None:
        """Refuse what needs no look at its content.

        Raises:
            AvatarRejected: the message says what to change.
        """
        name = self.name.strip()
        if not 1 <= len(name) <= 60 or not name.isprintable():
            raise AvatarRejected(f"the avatar's name must have {NAME_RULE}")
        if self.photo is None and self.video is None:
            raise AvatarRejected("an avatar is made of a photo or a video, and none was sent")
        if self.source is not None and not self.consent.strip():
            raise AvatarRejected(
                "to put a face into a template, say in a sentence (consent) that its person "
                "agrees; it is kept with the avatar",
                "consent_missing",
            )
        if isinstance(self.source, Avatar) and self.source.material.photo is None:
            raise AvatarRejected(
                f"{self.source.name} has no photo to take a face from", "unsuited_material"
            )
        for photo in (self.photo, self.source):
            if photo is not None and not isinstance(photo, Avatar):
                check_photo(photo)
        if self.video is not None:
            sniff_video(self.video)

    @property
    def kinds(self) -> frozenset[str]:
        """Which of "photo", "video", "source" it is made of."""
        named = (("photo", self.photo), ("video", self.video), ("source", self.source))
        return frozenset(kind for kind, given in named if given is not None)


def choose_pipeline(upload: Upload, config: ServerConfig) -> str:
    """The pipeline to make it for.

    Raises:
        AvatarRejected: none, or not the one that was named, takes the material.
        UnknownPipeline: none is called so.
    """
    try:
        for name in (upload.pipeline,) if upload.pipeline else config.loaded:
            if takes(name, upload.kinds):
                return name
    except ValueError as error:
        raise UnknownPipeline(str(error)) from error
    words = describe_unsuited(upload.pipeline or config.pipeline, upload.kinds)
    raise AvatarRejected(words, "unsuited_material")


async def keep(upload: Upload, stem: Path, config: ServerConfig, features: Features) -> Material:
    """Put its files beside `stem`, photos re-encoded.

    Raises:
        AvatarRejected: a photo cannot be read.
        BodyTooLarge: a file is larger than the configuration allows.
        OSError: they cannot be written.
    """

    async def keep_photo(photo: BinaryIO, suffix: str) -> Path:
        target, sent = stem.with_suffix(suffix), stem.with_suffix(suffix + ".sent")
        await asyncio.to_thread(copy_durably, photo, sent, config.max_image_bytes)
        await features.run(worker.clean_photo, sent, target)
        sent.unlink()
        return target

    photo = video = source = None
    if upload.photo is not None:
        photo = await keep_photo(upload.photo, ".jpg")
    if upload.video is not None:
        video = stem.with_suffix(sniff_video(upload.video))
        await asyncio.to_thread(copy_durably, upload.video, video, config.max_video_bytes)
    if isinstance(upload.source, Avatar):
        assert upload.source.material.photo is not None, "checked"
        with upload.source.material.photo.open("rb") as file:
            source = await keep_photo(file, ".source.jpg")
    elif upload.source is not None:
        source = await keep_photo(upload.source, ".source.jpg")
    return Material(photo=photo, video=video, source=source, consent=upload.consent.strip())
