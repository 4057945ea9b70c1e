"""What users hand in, for the gated pipeline, and what is left of it."""

import io

from PIL import Image

from realtime.avatars.library import AvatarLibrary
from realtime.avatars.uploads import Upload
from realtime.config import ServerConfig
from tests.support.gated import VIDEO, Gate
from tests.support.peers import until

LIMIT_S = 60.0  # a process starts in one second, or in many on a busy machine


def png(shade: int = 90) -> io.BytesIO:
    out = io.BytesIO()
    Image.new("RGB", (80, 60), (shade, 120, 150)).save(out, "PNG")
    return out


def photo(name: str = "Someone", shade: int = 90) -> Upload:
    return Upload(name=name, photo=png(shade))


def video(name: str = "Someone", tail: bytes = b"") -> Upload:
    return Upload(name=name, video=io.BytesIO(VIDEO + tail))


def files(config: ServerConfig) -> set[str]:
    """Suffixes of all files of uploads, and what lies beside them."""
    found = {"".join(path.suffixes) for path in (config.data_dir / "avatars").iterdir()}
    for folder in ("identities", "enrolments", "pictures"):
        place = config.data_dir / folder
        found |= {folder} if place.exists() and any(place.iterdir()) else set()
    return found


async def reached(gate: Gate, stage: int) -> None:
    await until(lambda: len(gate.done) > stage)


async def enrolled(library: AvatarLibrary, avatar) -> None:
    await until(lambda: library.state(avatar) == "ready")
