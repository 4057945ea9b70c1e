"""The still of an avatar is the picture with which a session of it begins."""

import io
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from realtime.avatars.library import AvatarLibrary
from realtime.avatars.uploads import Upload
from realtime.config import ServerConfig
from realtime.engine.handle import StreamRequest
from realtime.engine.local import LocalEngine
from realtime.errors import UnknownAvatar
from realtime.metrics import Metrics
from tests.support.uploads import LIMIT_S, files

AMARA = Path(__file__).parents[2] / "cast" / "amara.png"
JPEG = 1.5
"""Mean difference in levels that compressing a still may make; 0.6 measured."""


def opened(picture: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(np.float32)


async def test_a_still_is_what_a_session_shows_before_any_sound(tmp_path):
    pytest.importorskip("mediapipe", reason="enrolling needs vivavoce[enrol]")
    config = ServerConfig(
        size="256", cast_dir=tmp_path / "none", data_dir=tmp_path / "data", max_avatars=2
    )
    library = AvatarLibrary(config, Metrics())
    try:
        with AMARA.open("rb") as photo:
            avatar = await library.create(Upload(name="Somebody", photo=photo), wait_s=LIMIT_S)
        key = await library.ensure(avatar, "portrait", LIMIT_S)
        engine = LocalEngine("portrait", config.options_of("portrait"), config.identities_dir)
        for frame in ("square", "16:9"):
            still = opened(await library.still(avatar, "portrait", frame))
            size = config.size_of("portrait", frame)
            stream = await engine.open(StreamRequest("portrait", key, size, frame))
            begins = cv2.cvtColor(planes(stream.still), cv2.COLOR_YUV2RGB_I420)
            assert still.shape == begins.shape
            assert np.abs(still - begins).mean() < JPEG
            await stream.close()
        whole = Image.open(AMARA).convert("RGB").resize((256, 256))
        square = opened(await library.still(avatar, "portrait", "square"))
        assert np.abs(square - np.asarray(whole)).mean() > 10 * JPEG  # the photo is not it
        small = Image.open(io.BytesIO(await library.picture(avatar))).resize((256, 256))
        assert np.abs(square - np.asarray(small)).mean() < 4 * JPEG  # the same part of it
        [kept] = config.identities_dir.glob(f"{key}.square.*.jpg")
        os.utime(kept, (0, 0))  # of an older program, which may have drawn something else
        await library.still(avatar, "portrait", "square")
        assert kept.stat().st_mtime > 0
        await library.delete(avatar)
        assert files(config) == set()
        with pytest.raises(UnknownAvatar):
            await library.still(avatar, "portrait", "square")
    finally:
        await library.close()


async def test_the_picture_of_a_cast_member_is_its_still_s_once_there_are_features(tmp_path):
    pytest.importorskip("mediapipe", reason="enrolling needs vivavoce[enrol]")
    cast = tmp_path / "cast"
    cast.mkdir()
    shutil.copy(AMARA, cast)
    library = AvatarLibrary(ServerConfig(cast_dir=cast, data_dir=tmp_path / "data"), Metrics())
    try:
        amara = library.get("amara")
        before = await library.picture(amara)
        await library.ensure(amara, "portrait", LIMIT_S)
        after = await library.picture(amara)
        still = opened(await library.still(amara, "portrait", "square"))
        small = np.asarray(Image.fromarray(still.astype(np.uint8)).resize((384, 384)))
        assert np.abs(opened(after) - small).mean() < 4 * JPEG
        assert np.abs(opened(before) - small).mean() > 10 * JPEG
    finally:
        await library.close()


def planes(picture) -> np.ndarray:
    return picture.to_ndarray(format="yuv420p")
