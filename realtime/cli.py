"""The `vivavoce` command."""

from __future__ import annotations

import argparse
import contextlib
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

from pipelines.registry import known_systems
from realtime.config import ServerConfig, load_config
from realtime.engine.config import BackendWish
from realtime.errors import VivavoceError

logger = logging.getLogger(__name__)

_PIPELINE = ("pipeline", "renderer_weights", "motion_weights")


def main(argv: list[str] | None = None) -> int:
    """Run a subcommand. Exit status 0; 1 with a one-line error on stderr; 2 for arguments that do
    not fit, from the parser; 130 after Ctrl-C."""
    parser = _parser()
    args = parser.parse_args(argv)
    try:
        return int(args.run(args) or 0)
    except (VivavoceError, ValueError, OSError, ImportError, RuntimeError) as error:
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
    _add_backend(serve, "auto, the default, takes the faster one on this machine")
    serve.add_argument(
        "--size", metavar="H|WxH", help="picture size in pixels, one of the pipeline's"
    )
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

    _add_enrol(commands.add_parser("enrol", help="turn a photo or a video into an avatar"))

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

    exporting = commands.add_parser(
        "export", help="a pipeline's motion as a graph for ONNX Runtime"
    )
    exporting.add_argument("pipeline", choices=known_systems(), metavar="PIPELINE")
    exporting.add_argument(
        "--onnx", type=Path, metavar="DIR", help="where to (default: where it is found)"
    )
    _add_settings(exporting)
    exporting.set_defaults(run=_export)

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
    _add_backend(render, "auto, the default, takes onnxruntime where its graph is installed")
    render.add_argument(
        "--size", metavar="H|WxH", help="picture size in pixels, one of the pipeline's"
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


def _add_enrol(enrol: argparse.ArgumentParser) -> None:
    enrol.description = (
        "Make an avatar of a photo or a video, for `serve` and `render`. Some pipelines take "
        "minutes; one that was interrupted goes on where it stopped. A server that runs on the "
        "same data folder is asked to do it. Exit status: 0; 1 with a one-line error; 2 for "
        "arguments that do not fit; 130 after Ctrl-C."
    )
    enrol.add_argument(
        "image", type=Path, nargs="?", metavar="IMAGE", help="a photo: JPEG, PNG or WebP"
    )
    enrol.add_argument(
        "--video",
        type=Path,
        metavar="FILE",
        help="a video; portrait learns from one of the person talking, 10 to 60 s, how they move "
        "their lips, and needs no IMAGE then",
    )
    enrol.add_argument(
        "--swap", metavar="SOURCE", help="the face to put into it: an avatar's name, or a photo"
    )
    enrol.add_argument(
        "--consent", default="", metavar="SENTENCE", help="that its person agrees; kept with it"
    )
    enrol.add_argument("--name", help="the avatar's name (default: the file's)")
    _add_pipeline(enrol)
    enrol.add_argument("--data-dir", type=Path, help="where avatars are kept")
    enrol.add_argument("--config", type=Path, metavar="FILE", help="settings as TOML")
    enrol.set_defaults(run=_enrol)


def _add_pipeline(command: argparse.ArgumentParser) -> None:
    command.add_argument("--pipeline", choices=known_systems(), help="default portrait")
    _add_settings(command)
    for part in ("renderer", "motion"):  # of older releases, now options like others
        command.add_argument(f"--{part}-weights", metavar="NAME", help=argparse.SUPPRESS)


def _add_settings(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="OPTION=VALUE",
        help="an option of the pipeline; NAME.OPTION=VALUE of another one",
    )


def _add_backend(command: argparse.ArgumentParser, default: str) -> None:
    command.add_argument(
        "--backend", choices=get_args(BackendWish), help=f"what computes the motion: {default}"
    )


def _config(args: argparse.Namespace, names: tuple[str, ...]) -> ServerConfig:
    flags = {name: getattr(args, name, None) for name in names}
    return load_config(
        args.config, {k: v for k, v in flags.items() if v is not None}, settings=args.set
    )


def _serve(args: argparse.Namespace) -> None:
    names = "host port device backend size max_sessions video_codec data_dir allow_remote log_json"
    config = _config(args, (*_PIPELINE, *names.split()))
    from realtime.http.run import serve

    serve(config)


def _render(args: argparse.Namespace) -> int:
    from realtime.render import RenderJob, render

    job = RenderJob(
        avatar=args.avatar,
        audio=args.audio,
        out=args.out,
        config=_config(args, (*_PIPELINE, "backend", "size", "data_dir")),
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
        name=args.name or given[0].stem[:60],
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
            avatar_id, note = enrol(job, _config(args, (*_PIPELINE, "data_dir")), show, on_server)
    except VivavoceError as error:
        raise ValueError(f"{' and '.join(map(str, given))}: {error}") from error
    print(f"{given[0]}: enrolled as {avatar_id}" + (f". {note}" if note else ""))


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


def _weights(args: argparse.Namespace) -> int:
    from pipelines.import_weights import import_checkpoint
    from pipelines.weights import describe_weights, list_weights

    if args.verb == "list":
        names = list_weights()
        print("\n".join(names) if names else "no weights installed")
    elif args.verb == "info":
        print(describe_weights(args.name))
    else:
        print(import_checkpoint(args.checkpoint, args.name))
    return 0


def _export(args: argparse.Namespace) -> None:
    from realtime.export import export

    print(export(load_config(None, {"pipeline": args.pipeline}, settings=args.set), args.onnx))


def _bench(args: argparse.Namespace) -> int:
    import importlib

    suites = {
        "pipeline": "benchmarks.speed.pipeline",
        "portrait": "benchmarks.speed.portrait",
        "backends": "benchmarks.speed.backends",
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
