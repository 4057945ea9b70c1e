"""`vivavoce enrol`."""

from __future__ import annotations

import argparse
import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

from realtime.cli_flags import PIPELINE, add_pipeline, config_of
from realtime.errors import VivavoceError

logger = logging.getLogger(__name__)


def add_enrol(enrol: argparse.ArgumentParser) -> None:
    """The arguments of `vivavoce enrol`."""
    enrol.description = (
        "Make an avatar of a photo or a video, for `serve` and `render`. Some pipelines take "
        "minutes; one that was interrupted goes on where it stopped. A server that runs on the "
        "same data folder is asked to do it. Exit status: 0; 1 with a one-line error; 2 for "
        "arguments that do not fit; 130 after Ctrl-C."
    )
    enrol.add_argument(
        "image",
        type=Path,
        nargs="?",
        metavar="IMAGE",
        help="a photo: JPEG, PNG, WebP, HEIC, AVIF or GIF",
    )
    enrol.add_argument(
        "--video",
        type=Path,
        metavar="FILE",
        help="a video; portrait learns from one of the person talking, 10 to 60 s, how they move "
        "their lips, and needs no IMAGE then; swaptalk shows one of 2 to 60 s, only its lower face "
        "drawn anew",
    )
    enrol.add_argument(
        "--swap", metavar="SOURCE", help="the face to put into it: an avatar's name, or a photo"
    )
    enrol.add_argument(
        "--consent", default="", metavar="SENTENCE", help="that its person agrees; kept with it"
    )
    enrol.add_argument("--name", help="the avatar's name (default: the file's)")
    add_pipeline(enrol)
    enrol.add_argument("--data-dir", type=Path, help="where avatars are kept")
    enrol.add_argument("--config", type=Path, metavar="FILE", help="settings as TOML")
    enrol.set_defaults(run=_enrol)


def _enrol(args: argparse.Namespace) -> None:
    from realtime.enrol import EnrolJob, enrol

    swap = args.swap and (Path(args.swap) if Path(args.swap).is_file() else args.swap)
    given = [path for path in (args.image, args.video) if path is not None]
    if not given:
        raise ValueError("give an IMAGE, or a --video")
    for flag, path in (("IMAGE", args.image), ("--video", args.video)):
        if path is not None and not path.is_file():
            raise ValueError(f"{flag} {path}: no such file")
    job = EnrolJob(
        name=args.name or _readable(given[0].stem)[:60],
        photo=args.image,
        video=args.video,
        swap=swap,
        consent=args.consent,
        pipeline=args.pipeline or "",
    )

    def on_server(url: str) -> None:
        logger.warning("the server at %s, which is running, does it by its own settings", url)

    logging.basicConfig(format="vivavoce enrol: %(message)s")
    try:
        with _progress_bar() as show:
            avatar_id, note = enrol(job, config_of(args, (*PIPELINE, "data_dir")), show, on_server)
    except VivavoceError as error:
        raise ValueError(f"{' and '.join(map(str, given))}: {error}") from error
    print("\n  ".join((f"{given[0]}: enrolled as {avatar_id}", *note.splitlines())))


def _readable(name: str) -> str:
    """Of a file, whose name may have bytes that are no text."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)


@contextlib.contextmanager
def _progress_bar() -> Iterator[Callable[[float, str], None]]:
    """A bar on the terminal, if there is one."""
    from tqdm import tqdm

    shape = "{percentage:3.0f}% |{bar}| {elapsed} {desc}"
    with tqdm(total=1.0, bar_format=shape, disable=None, leave=False) as bar:

        def show(share: float, stage: str) -> None:
            bar.set_description_str(stage, refresh=False)
            bar.update(share - bar.n)

        yield show
