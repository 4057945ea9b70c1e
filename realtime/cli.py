"""The `vivavoce` command."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from pipelines.presets import PRESETS
from realtime.config import ServerConfig, load_config

_PIPELINE = ("pipeline", "renderer_weights", "motion_weights")


def main(argv: list[str] | None = None) -> int:
    """Run a subcommand. Exit status 0; 1 with a one-line error on stderr; 2 for arguments that do
    not fit, from the parser; 130 after Ctrl-C."""
    parser = _parser()
    args = parser.parse_args(argv)
    try:
        return int(args.run(args) or 0)
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        print(f"vivavoce {args.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stop:
        print(f"vivavoce {args.command}: {str(stop) or 'interrupted'}", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vivavoce", description="A live voice in, the talking face out, in sync."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="run the server")
    serve.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    serve.add_argument("--port", type=int, help="port to listen on (default 8080)")
    _add_pipeline(serve)
    serve.add_argument("--device", choices=("auto", "cpu", "cuda"))
    serve.add_argument("--size", type=int, choices=(256, 512), help="picture size in pixels")
    serve.add_argument("--max-sessions", type=int, help="sessions at once, at most (default 8)")
    serve.add_argument("--video-codec", choices=("auto", "VP8", "H264"))
    serve.add_argument("--data-dir", type=Path, help="where avatars are kept")
    serve.add_argument(
        "--allow-remote",
        action="store_true",
        default=None,
        help="listen beyond this machine, where anyone who reaches the port may use the server",
    )
    serve.add_argument("--log-json", action="store_true", default=None, help="one JSON per line")
    serve.add_argument("--config", type=Path, metavar="FILE", help="settings as TOML")
    serve.set_defaults(run=_serve)

    _add_render(commands.add_parser("render", help="a sound file to a talking MP4, hop by hop"))

    enrol = commands.add_parser("enrol", help="turn a photo into an avatar")
    enrol.add_argument("image", type=Path, metavar="IMAGE")
    enrol.add_argument("--name", help="the avatar's name (default: the file's)")
    _add_pipeline(enrol)
    enrol.add_argument("--data-dir", type=Path, help="where avatars are kept")
    enrol.set_defaults(run=_enrol)

    weights = commands.add_parser("weights", help="trained weights: list, import, info")
    verbs = weights.add_subparsers(dest="verb", required=True, metavar="VERB")
    verbs.add_parser("list", help="what is installed")
    importing = verbs.add_parser("import", help="bring a published checkpoint")
    importing.add_argument(
        "checkpoint", type=Path, metavar="CHECKPOINT", help="stage1.ckpt or stage2_*.ckpt"
    )
    importing.add_argument(
        "--as", dest="name", required=True, metavar="NAME", help="what to call the weights here"
    )
    info = verbs.add_parser("info", help="what a weights file holds")
    info.add_argument("name", metavar="NAME")
    weights.set_defaults(run=_weights)

    bench = commands.add_parser("bench", help="measure: pipeline, sessions, latency, ...")
    bench.add_argument("suite", metavar="SUITE")
    bench.add_argument("rest", nargs=argparse.REMAINDER)
    bench.set_defaults(run=_bench)
    return parser


def _add_render(render: argparse.ArgumentParser) -> None:
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
    _add_pipeline(render)
    render.add_argument(
        "--size", type=int, default=512, choices=(256, 512), help="in pixels (default 512)"
    )
    render.add_argument(
        "--seed", type=int, default=0, help="of the movements that chance makes (default 0)"
    )
    render.add_argument(
        "--stats", type=Path, metavar="stats.json", help="write speed and warnings here"
    )
    render.add_argument("--data-dir", type=Path, help="where avatars are kept")
    render.add_argument("--config", type=Path, metavar="FILE", help="settings as TOML")
    render.set_defaults(run=_render)


def _add_pipeline(command: argparse.ArgumentParser) -> None:
    command.add_argument("--pipeline", choices=tuple(PRESETS), help="default portrait")
    for part in ("renderer", "motion"):
        command.add_argument(
            f"--{part}-weights", metavar="NAME", help="instead of the pipeline's; `weights list`"
        )


def _config(args: argparse.Namespace, names: tuple[str, ...]) -> ServerConfig:
    flags = {name: getattr(args, name, None) for name in names}
    return load_config(
        getattr(args, "config", None), {k: v for k, v in flags.items() if v is not None}
    )


def _serve(args: argparse.Namespace) -> int:
    names = "host port device size max_sessions video_codec data_dir allow_remote log_json"
    config = _config(args, (*_PIPELINE, *names.split()))
    from realtime.http.run import serve

    return serve(config)


def _render(args: argparse.Namespace) -> int:
    from realtime.render import RenderJob, render

    config = _config(args, (*_PIPELINE, "data_dir"))
    job = RenderJob(
        avatar=args.avatar,
        audio=args.audio,
        out=args.out,
        preset=config.preset,
        size=args.size,
        seed=args.seed,
        stats=args.stats,
        force=args.force,
        data_dir=config.data_dir,
        cast_dir=config.cast_dir,
    )
    logging.basicConfig(format="vivavoce render: %(message)s")
    try:
        summary = render(job, progress=True)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted; {args.out} was not written") from None
    print(
        f"{args.out}: {summary.frames} frames, {summary.media_s:.1f} s, "
        f"real-time factor {summary.real_time_factor:.2f}"
    )
    return 0


def _enrol(args: argparse.Namespace) -> int:
    import asyncio

    from realtime.avatars import AvatarLibrary
    from realtime.errors import VivavoceError
    from realtime.metrics import Metrics

    config = _config(args, (*_PIPELINE, "data_dir"))
    photo = args.image.read_bytes()

    async def run() -> str:
        library = AvatarLibrary(
            config.data_dir,
            config.cast_dir,
            config.max_avatars,
            Metrics(),
            config.preset,
        )
        try:
            return (await library.create(args.name or args.image.stem[:60], photo)).id
        finally:
            await library.close()

    try:
        avatar_id = asyncio.run(run())
    except VivavoceError as error:
        raise ValueError(f"{args.image}: {error}") from error
    print(f"{args.image}: enrolled as {avatar_id}")
    return 0


def _weights(args: argparse.Namespace) -> int:
    from pipelines.weights import describe_weights, import_checkpoint, list_weights

    if args.verb == "list":
        names = list_weights()
        print("\n".join(names) if names else "no weights installed")
    elif args.verb == "info":
        print(describe_weights(args.name))
    else:
        print(import_checkpoint(args.checkpoint, args.name))
    return 0


def _bench(args: argparse.Namespace) -> int:
    import importlib

    suites = {
        "pipeline": "benchmarks.speed.pipeline",
        "portrait": "benchmarks.speed.portrait",
        "motion": "benchmarks.motion.stats",
        "encoders": "benchmarks.speed.encoders",
        "sessions": "benchmarks.service.sessions",
        "latency": "benchmarks.service.latency",
        "network": "benchmarks.service.network",
        "lips": "benchmarks.lips.run",
        "renderer": "benchmarks.speed.anitalker",
        "reconstruction": "benchmarks.faces.reconstruction",
        "windows": "benchmarks.motion.code_windows",
        "codes": "benchmarks.motion.codes",
        "sheets": "benchmarks.faces.contact_sheet",
    }
    if args.suite not in suites:
        raise ValueError(f"unknown suite {args.suite!r}; known: {', '.join(suites)}")
    try:
        module = importlib.import_module(suites[args.suite])
    except ModuleNotFoundError as error:
        raise ValueError(
            f"{error}; benchmarks run from a checkout with the dev extra installed"
        ) from error
    return int(module.main(args.rest) or 0)


if __name__ == "__main__":
    sys.exit(main())
