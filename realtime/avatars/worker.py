"""The enrolment process itself: pure computation on untrusted bytes, apart from everything else."""

from __future__ import annotations

import base64
import functools
import io
import json
import os
import signal
import socket
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.photo.errors import EnrolmentError
from pipelines.pipeline import EnrolmentCancelled, Material
from realtime.processes import die_with_parent, take_turns_late
from realtime.storage import describe_refusal, write_durably, write_sealed

if TYPE_CHECKING:
    from PIL.Image import Image

    from pipelines.pipeline import Pipeline, Size

REPORT_EVERY_S = 0.1
PICTURE_PX = 384
STILL_QUALITY = 92
PREVIEW_BYTES = 300_000
PREVIEW_QUALITIES = (72, 50, 25)
"""Of the clips of avatars: the first that keeps them small. Photos full of detail need less."""
CANCEL = "cancel"


@dataclass(frozen=True)
class Job:
    """A function of this module and its arguments; the first it is given is a `Reporter`."""

    work: Callable[..., Any]
    args: tuple[Any, ...]


class Reporter:
    """`pipelines.pipeline.Progress`, told to the server; also where a cancellation is noticed."""

    def __init__(self, pipe: Connection, folder: Path = Path()) -> None:
        self.folder = folder
        self._pipe = pipe
        self._stage = ""
        self._told = 0.0

    def __call__(self, share: float, stage: str) -> None:
        if self._pipe.poll():
            self._pipe.recv()  # CANCEL; EOFError if the server is gone
            raise EnrolmentCancelled
        now = time.monotonic()
        if stage != self._stage or now - self._told >= REPORT_EVERY_S or share >= 1.0:
            self._stage, self._told = stage, now
            answer(self._pipe, "progress", min(1.0, max(0.0, float(share))), stage)


def answer(pipe: Connection, *message: Any) -> None:
    """Tell the server: as JSON, for it unpickles nothing that comes from here."""
    pipe.send_bytes(json.dumps(message).encode())


def enrol(
    report: Reporter, system: str, material: Material, options: Any, store: Path, folder: Path
) -> None:
    """Make identity features of `material` and keep them in `store`."""
    from pipelines.identity import IdentityStore
    from pipelines.registry import find_system

    folder.mkdir(parents=True, exist_ok=True)
    report.folder = folder
    IdentityStore(store).save(find_system(system).enrol(material, options, report))


def settle(report: Reporter, store: Path, key: str, learnt: Path, photo: Path | None) -> str | None:
    """Keep what the features of `key` hold of a video that is deleted then: as the file `learnt`,
    and its picture, if it was used as one, as the file `photo`. Returns the note on it.

    Raises:
        EnrolmentError: they hold nothing of it.
    """
    from pipelines.identity import IdentityStore
    from pipelines.learnt import Learnt

    found = Learnt.of_features(IdentityStore(store).load(key))
    if found is None:
        raise EnrolmentError("not_a_video", "Nothing was learnt from the video.")
    if photo is not None and found.photo is not None:
        write_durably(photo, found.photo)
    write_durably(learnt, found.save())
    return found.note


def clean_photo(report: Reporter, source: Path, target: Path) -> None:
    """Write a JPEG of our own, upright and without metadata, of a photo of any accepted type."""
    from pipelines.photo.decode import clean

    write_durably(target, clean(source.read_bytes()))


def draw_picture(report: Reporter, photo: Path | None, store: Path, keys: list[str]) -> str:
    """A small JPEG of an avatar, in base 64: of its features if there are some, else its photo.

    Raises:
        EnrolmentError: there is neither.
    """
    from PIL import Image

    from pipelines.identity import IdentityStore

    for key in keys:
        try:
            return _small(Image.fromarray(IdentityStore(store).load(key).preview))
        except KeyError:
            continue
    if photo is None:
        raise EnrolmentError("not_a_video", "There is no picture of this avatar yet.")
    with Image.open(photo) as image:
        return _small(image.convert("RGB"))


def draw_preview(
    report: Reporter, system: str, options: Any, store: Path, key: str, target: Path
) -> None:
    """Write a short clip of an avatar that moves, an animated WebP, as the file `target`."""
    from PIL import Image

    from pipelines.identity import IdentityStore
    from pipelines.pipeline import FPS, Previews
    from pipelines.registry import find_system

    drawing = find_system(system)
    assert isinstance(drawing, Previews), "checked"
    identity = IdentityStore(store).load(key)
    frames = [Image.fromarray(frame) for frame in drawing.preview(identity, options)]
    for quality in PREVIEW_QUALITIES:
        out = io.BytesIO()
        frames[0].save(
            out,
            "WEBP",
            save_all=True,
            append_images=frames[1:],
            duration=1000 // FPS,
            loop=0,
            quality=quality,
            method=1,
            minimize_size=False,
        )
        if out.tell() < PREVIEW_BYTES:
            break
    write_sealed(target, out.getvalue())


def draw_still(
    report: Reporter,
    system: str,
    options: Any,
    store: Path,
    key: str,
    target: Path,
    frame: str,
    size: Size,
) -> None:
    """Write the picture with which a session of an avatar in `frame` begins, where `size`, one of
    the frame's, was asked for: a JPEG, as the file `target`."""
    from PIL import Image

    from pipelines.identity import IdentityStore
    from pipelines.photo.framing import framed, rungs
    from pipelines.registry import find_system
    from pipelines.still import draw_still

    identity = framed(IdentityStore(store).load(key), frame)
    largest = rungs(find_system(system), identity, size)[0]
    still = draw_still(_pipeline(system, options), identity, largest)
    write_sealed(target, _jpeg(Image.fromarray(still), STILL_QUALITY))


@functools.lru_cache(maxsize=1)  # a page asks for many; it goes with the process, which rests
def _pipeline(system: str, options: Any) -> Pipeline:
    from pipelines.registry import find_system

    return find_system(system).build(1, options, "cpu")


def _jpeg(image: Image, quality: int) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()


def _small(image: Image) -> str:
    """A JPEG of it no larger than `PICTURE_PX`, in base 64."""
    image.thumbnail((PICTURE_PX, PICTURE_PX), reducing_gap=3.0)
    return base64.b64encode(_jpeg(image, 88)).decode()


def run_worker(connected: socket.socket, parent: int) -> None:
    """The process's main function: one job after another until the socket closes."""
    die_with_parent(parent)
    pipe = Connection(connected.detach())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server ends us, not the terminal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    take_turns_late(0)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # the detector's native chatter
    os.environ["OMP_NUM_THREADS"] = "1"
    while True:
        try:
            job: Job | str = pipe.recv()
            if isinstance(job, Job):  # else a cancellation that came too late
                answer(pipe, *_carry_out(job, pipe))
        except (EOFError, OSError):
            return
        except BaseException:
            answer(pipe, "error", "enrolment_failed", "", traceback.format_exc()[-20_000:])
            raise


def _carry_out(job: Job, pipe: Connection) -> tuple[Any, ...]:
    """("ok", result), ("cancelled",) or ("error", code, message for the user, details)."""
    try:
        return "ok", job.work(Reporter(pipe), *job.args)
    except EnrolmentError as error:
        return "error", error.code, str(error), ""
    except EnrolmentCancelled:
        return ("cancelled",)
    except OSError as error:
        words = describe_refusal(error)
        if words is None:
            raise RuntimeError("a file could not be read or written") from error
        return "error", "storage_unavailable", words, ""
