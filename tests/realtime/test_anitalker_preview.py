"""The library draws the preview clip of `anitalker` with the weights that the server runs."""

import io
from pathlib import Path

import pytest
from PIL import Image

from pipelines.motion.preview import FRAMES
from realtime.avatars.library import AvatarLibrary
from realtime.avatars.uploads import Upload
from realtime.config import ServerConfig
from realtime.metrics import Metrics
from tests.support.small import write_weights

CAST = sorted((Path(__file__).parents[2] / "cast").glob("*.png"))


async def test_an_upload_has_a_clip_drawn_with_the_servers_weights(tmp_path, monkeypatch):
    pytest.importorskip("mediapipe", reason="enrolling needs vivavoce[enrol]")
    folder = tmp_path / "weights"
    write_weights(folder)
    for part in ("renderer", "motion"):
        (folder / f"anitalker-{part}.safetensors").rename(folder / f"small-{part}.safetensors")
    monkeypatch.setenv("VIVAVOCE_WEIGHTS", str(folder))  # the worker processes inherit it
    named = {"renderer_weights": "small-renderer", "motion_weights": "small-motion"}
    config = ServerConfig(
        pipeline="anitalker",
        options={"anitalker": named},
        cast_dir=tmp_path / "none",
        data_dir=tmp_path / "data",
    )
    library = AvatarLibrary(config, Metrics())
    try:
        with CAST[0].open("rb") as photo:
            avatar = await library.create(Upload(name="Someone", photo=photo))
        clip = Image.open(io.BytesIO(await library.preview(avatar, "anitalker")))
        assert clip.format == "WEBP"
        assert 1 < clip.n_frames <= FRAMES  # equal ones in a row are kept once
    finally:
        await library.close()
