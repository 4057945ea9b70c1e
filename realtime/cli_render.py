"""`vivavoce render`."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from realtime.cli_flags import PIPELINE, add_backend, add_picture, add_pipeline, config_of


def add_render(render: argparse.ArgumentParser) -> None:
    """The arguments of `vivavoce render`."""
    render.description = (
        "Render a sound file to a talking MP4 through the streaming code, hop by hop, as fast as "
        "the machine goes. The clip appears whole, at the end; after an error or Ctrl-C a file "
        "that was there before is untouched. Exit status: 0; 1 with a one-line error; 2 for "
        "arguments that do not fit; 130 after Ctrl-C."
    )
    render.add_argument(
        "--avatar", required=True, metavar="NAME|IMAGE", help="a name, or a photo's path"
    )
    render.add_argument(
        "--audio",
        required=True,
        type=Path,
        metavar="in.wav",
        help="WAV, FLAC, MP3, M4A, Ogg, ...; a stereo clip stays stereo; damaged stretches "
        "become silence, with a warning",
    )
    render.add_argument(
        "--out", required=True, type=Path, metavar="out.mp4", help="the clip: H.264 and AAC"
    )
    render.add_argument(
        "--force", action="store_true", help="replace the files of --out and --stats if they exist"
    )
    add_pipeline(render)
    add_backend(render, "auto, the default, takes onnxruntime where its graph is installed")
    add_picture(render)
    render.add_argument(
        "--seed", type=_seed, default=0, help="of the movements that chance makes (default 0)"
    )
    render.add_argument(
        "--stats", type=Path, metavar="stats.json", help="write speed and warnings here"
    )
    render.add_argument("--data-dir", type=Path, help="where avatars are kept")
    render.add_argument("--config", type=Path, metavar="FILE", help="settings as TOML")
    render.set_defaults(run=_render)


def _seed(text: str) -> int:
    seed = int(text)
    if not -(2**63) <= seed < 2**63:
        raise argparse.ArgumentTypeError("must be a number of at most 64 bits")
    return seed


def _render(args: argparse.Namespace) -> int:
    from realtime.render import RenderJob, render

    job = RenderJob(
        avatar=args.avatar,
        audio=args.audio,
        out=args.out,
        config=config_of(args, (*PIPELINE, "backend", "frame", "size", "data_dir")),
        seed=args.seed,
        stats=args.stats,
        force=args.force,
    )
    logging.basicConfig(format="vivavoce render: %(message)s")
    try:
        summary = render(job, progress=True)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted; {args.out} was not written") from None
    print(
        f"{args.out}: {summary.frames} frames, {summary.media_s:.1f} s, "
        f"real-time factor {summary.real_time_factor:.2f}"
        + (f", motion by {summary.backend}" if summary.backend else "")
    )
    return 0
