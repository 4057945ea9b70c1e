"""The `vivavoce` command."""

from __future__ import annotations

import argparse
import io
import os
import sys
from pathlib import Path

from pipelines.registry import known_systems
from realtime.cli_camera import add_camera
from realtime.cli_enrol import add_enrol
from realtime.cli_flags import (
    PIPELINE,
    add_backend,
    add_picture,
    add_pipeline,
    add_settings,
    config_of,
)
from realtime.cli_forget import add_forget
from realtime.cli_keys import add_keys
from realtime.cli_motion import add_motion
from realtime.cli_render import add_render
from realtime.config import load_config
from realtime.errors import VivavoceError


def main(argv: list[str] | None = None) -> int:
    """Run a subcommand. Exit status 0; 1 with a one-line error on stderr; 2 for arguments that do
    not fit, from the parser; 130 after Ctrl-C."""
    parser = _parser()
    args = parser.parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a file's name may have bytes that are no text
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status = int(args.run(args) or 0)
        _flush()
        return status
    except (VivavoceError, ValueError, OSError, ImportError, RuntimeError) as error:
        print(f"vivavoce {args.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stop:
        print(f"vivavoce {args.command}: {str(stop) or 'interrupted'}", file=sys.stderr)
        return 130


def _flush() -> None:
    """Write now what was printed, or Python itself would complain at the end.

    Raises:
        OSError: nobody reads it, or there is no room for it.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OSError(f"what is printed cannot be written: {error.strerror}") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vivavoce", description="A live voice in, the talking face out, in sync."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="run the server")
    serve.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    serve.add_argument("--port", type=int, help="port to listen on (default 8080)")
    add_pipeline(serve)
    serve.add_argument("--device", choices=("auto", "cpu", "cuda"))
    add_backend(serve, "auto, the default, takes the faster one on this machine")
    add_picture(serve)
    serve.add_argument("--max-sessions", type=int, help="sessions at once, at most (default 8)")
    serve.add_argument(
        "--media-processes",
        type=int,
        metavar="N",
        help="processes that share signalling, RTP and encoding (default 1: the server's own)",
    )
    serve.add_argument("--video-codec", choices=("auto", "VP8", "H264"))
    serve.add_argument("--data-dir", type=Path, help="where avatars are kept")
    serve.add_argument(
        "--allow-remote",
        action="store_true",
        default=None,
        help="listen beyond this machine, for callers with a key (vivavoce keys create NAME)",
    )
    serve.add_argument(
        "--public-origin",
        metavar="URL",
        help="where a proxy shows the server: https://example.org, or with a path",
    )
    serve.add_argument(
        "--trusted-proxy",
        dest="trusted_proxies",
        action="append",
        metavar="NET",
        help="address or network of a proxy whose X-Forwarded-For is believed; may be repeated",
    )
    serve.add_argument("--log-json", action="store_true", default=None, help="one JSON per line")
    serve.add_argument("--config", type=Path, metavar="FILE", help="settings as TOML")
    serve.set_defaults(run=_serve)

    add_render(commands.add_parser("render", help="a sound file to a talking MP4, hop by hop"))

    add_enrol(commands.add_parser("enrol", help="turn a photo or a video into an avatar"))

    add_forget(commands.add_parser("forget", help="delete an upload and all that was made of it"))

    add_keys(commands.add_parser("keys", help="who may use a server: create, list, revoke"))

    add_camera(commands.add_parser("camera", help="the avatar as camera and microphone of calls"))

    add_motion(commands.add_parser("motion", help="the avatar's motion for rigs, as VMC over OSC"))

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
    exporting.add_argument(
        "--pictures", type=int, metavar="LINES",
        help="what draws pictures of so many lines, too; needs --onnx",
    )  # fmt: skip
    exporting.add_argument(
        "--faces", type=int, default=1, metavar="N", help="that it draws at once (default: 1)"
    )
    add_settings(exporting)
    exporting.set_defaults(run=_export)

    bench = commands.add_parser("bench", help="measure: pipeline, sessions, latency, ...")
    bench.add_argument("suite", metavar="SUITE")
    bench.add_argument("rest", nargs=argparse.REMAINDER)
    bench.set_defaults(run=_bench)
    return parser


def _serve(args: argparse.Namespace) -> None:
    names = "host port device backend frame size max_sessions video_codec data_dir allow_remote"
    names += " log_json media_processes public_origin trusted_proxies"
    config = config_of(args, (*PIPELINE, *names.split()))
    from realtime.http.run import serve

    serve(config)


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
    from realtime.export import check_drawing, export, export_drawing

    if args.pictures is not None and args.onnx is None:
        raise ValueError("--pictures needs --onnx DIR: nothing finds what draws by itself")
    if args.onnx is not None and args.onnx.exists() and not args.onnx.is_dir():
        raise ValueError(f"--onnx {args.onnx} is a file: name a folder")
    config = load_config(None, {"pipeline": args.pipeline}, settings=args.set)
    if args.pictures is not None:
        check_drawing(config, args.pictures, args.faces)
    print(export(config, args.onnx))
    if args.pictures is not None:
        print(export_drawing(config, args.onnx, args.pictures, args.faces))


def _bench(args: argparse.Namespace) -> int:
    import importlib

    suites = {
        "pipeline": "benchmarks.speed.pipeline",
        "portrait": "benchmarks.speed.portrait",
        "backends": "benchmarks.speed.backends",
        "motion": "benchmarks.motion.stats",
        "encoders": "benchmarks.speed.encoders",
        "sessions": "benchmarks.service.sessions",
        "media-processes": "benchmarks.service.media_processes",
        "latency": "benchmarks.service.latency",
        "network": "benchmarks.service.network",
        "lips": "benchmarks.lips.run",
        "renderer": "benchmarks.speed.anitalker",
        "faces": "benchmarks.faces.__main__",
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
