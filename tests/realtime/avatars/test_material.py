"""What avatars are made of: refused, unsuited to a pipeline, a template with a face."""

import io
from pathlib import Path

import pytest

from pipelines.identity import IdentityStore
from realtime.avatars.records import read_record
from realtime.avatars.uploads import Upload
from realtime.errors import AvatarRejected, BodyTooLarge, UnknownPipeline
from tests.support.gated import VIDEO
from tests.support.uploads import LIMIT_S, enrolled, photo, png, video


@pytest.mark.parametrize(
    ("upload", "error", "complaint"),
    [
        (lambda: Upload(name="x"), AvatarRejected, "none was sent"),
        (lambda: Upload(name="\n", photo=png()), AvatarRejected, "1 to 60 characters"),
        (lambda: Upload(name="x", video=io.BytesIO(b"GIF89a")), AvatarRejected, "not a video"),
        (lambda: Upload(name="x", video=io.BytesIO(VIDEO), source=png()), AvatarRejected, "agrees"),
        (lambda: video(tail=bytes(1000)), BodyTooLarge, "1000 bytes"),
        (lambda: Upload(name="x", photo=io.BytesIO(b"GIF89a")), AvatarRejected, "GIF"),
        (
            lambda: Upload(name="x", photo=png(), pipeline="dreams"),
            UnknownPipeline,
            "unknown pipeline 'dreams'",
        ),
        (
            lambda: Upload(name="x", video=io.BytesIO(VIDEO), pipeline="anitalker"),
            AvatarRejected,
            "'anitalker' makes avatars of photo, not of video",
        ),
    ],
)
async def test_material_that_is_refused(library, config, upload, error, complaint):
    with pytest.raises(error, match=complaint):
        await library.create(upload(), wait_s=LIMIT_S)
    uploads = config.data_dir / "avatars"
    assert not uploads.exists() or not list(uploads.iterdir())


async def test_an_avatar_of_other_material_is_refused_in_words(library, gate):
    gate.open()
    avatar = await library.create(video(), wait_s=LIMIT_S)
    assert library.describe(avatar)["pipelines"] == ["gated"]
    with pytest.raises(AvatarRejected, match="Someone cannot be used: the pipeline 'anitalker'"):
        await library.ensure(avatar, "anitalker")


async def test_a_template_keeps_whose_face_it_shows_and_that_they_agree(library, config, gate):
    gate.open()
    face = await library.create(photo("Face"), wait_s=LIMIT_S)
    template = Upload(
        name="Swapped", video=io.BytesIO(VIDEO), source=face, consent=" I agree. ", pipeline="gated"
    )
    avatar = await library.create(template, wait_s=LIMIT_S)
    await enrolled(library, avatar)
    assert library.describe(avatar)["material"] == ["source", "video"]
    await library.delete(face)
    record = read_record(config.data_dir / "avatars" / f"{avatar.id}.json", IdentityStore(Path()))
    assert record.material.consent == "I agree."
    assert record.material.source is not None
    assert record.material.source.exists()
