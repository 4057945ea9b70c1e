"""Server configuration: the only reader of its files and flags, and of its environment."""

from __future__ import annotations

import dataclasses
import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from pipelines.anitalker.config import Precision
from pipelines.presets import Playing, Preset, find_preset

MIB = 1024 * 1024


def default_data_dir() -> Path:
    """Where enrolled avatars are kept: $VIVAVOCE_DATA, else the XDG data folder."""
    if "VIVAVOCE_DATA" in os.environ:
        return Path(os.environ["VIVAVOCE_DATA"])
    base = os.environ.get("XDG_DATA_HOME", str(Path.home() / ".local" / "share"))
    return Path(base) / "vivavoce"


def shipped_cast_dir() -> Path:
    """The shipped portraits: beside the packages in a checkout, inside one when installed."""
    root = Path(__file__).parent.parent
    installed = root / "pipelines" / "_cast"
    return installed if installed.is_dir() else root / "cast"


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """Everything an operator can set. Field names are the keys of the TOML file.

    Raises:
        ValueError: a value outside its range; the message names field, value and rule.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    pipeline: str = "portrait"
    renderer_weights: str = ""  # other ones than the preset's, by name
    motion_weights: str = ""
    precision: Precision = "float32"  # of a renderer with weights
    playing: Playing = field(default_factory=Playing)  # of published generators; a table
    device: Literal["auto", "cpu", "cuda"] = "auto"
    size: int = 512
    max_sessions: int = 8
    load_share: float = 0.75  # of the machine that sessions may fill; above 1 oversells it
    video_codec: Literal["auto", "VP8", "H264"] = "auto"
    data_dir: Path = field(default_factory=default_data_dir)
    cast_dir: Path = field(default_factory=shipped_cast_dir)
    identity_cache_bytes: int = 256 * MIB
    max_sdp_bytes: int = 64 * 1024
    max_image_bytes: int = 15 * MIB
    max_avatars: int = 200
    connect_timeout_s: float = 20.0  # from the offer to the first connected transport
    ping_timeout_s: float = 8.0  # a data channel that pinged once and then went silent
    drain_timeout_s: float = 20.0  # what SIGTERM grants running sessions
    allow_remote: bool = False
    log_json: bool = False

    def __post_init__(self) -> None:
        def check(ok: bool, name: str, rule: str) -> None:
            if not ok:
                raise ValueError(f"{name} = {getattr(self, name)!r}: {rule}")

        _ = self.preset  # raises if there is none of that name
        check(0 <= self.port <= 65535, "port", "must be between 0 and 65535")
        check(self.device in ("auto", "cpu", "cuda"), "device", "must be auto, cpu or cuda")
        check(self.size in (256, 512), "size", "must be 256 or 512")
        check(
            self.precision in get_args(Precision),
            "precision",
            f"must be one of {', '.join(get_args(Precision))}",
        )
        check(1 <= self.max_sessions <= 256, "max_sessions", "must be between 1 and 256")
        check(0.1 <= self.load_share <= 10.0, "load_share", "must be between 0.1 and 10")
        check(
            self.video_codec in ("auto", "VP8", "H264"), "video_codec", "must be auto, VP8 or H264"
        )
        check(self.ping_timeout_s >= 3, "ping_timeout_s", "must be at least 3 seconds")
        check(
            self.loopback or self.allow_remote,
            "host",
            "anyone who reaches the port could use the server; add --allow-remote if that is meant",
        )

    @property
    def preset(self) -> Preset:
        """The pipeline preset with the weights and settings that were chosen."""
        preset = find_preset(self.pipeline)
        return preset.chosen(
            self.renderer_weights, self.motion_weights, self.precision, self.playing
        )

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return self.host in ("127.0.0.1", "localhost", "::1")


def load_config(path: Path | None, overrides: dict[str, Any]) -> ServerConfig:
    """Read a TOML file (if given) and lay `overrides` (flags that were set) over it.

    Raises:
        ValueError: unreadable file, unknown key, wrong type or value out of range.
    """
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(path.read_text())
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ValueError(f"cannot read the configuration {path}: {error}") from error
    values.update(overrides)
    known = {f.name: f for f in dataclasses.fields(ServerConfig)}
    for name, value in values.items():
        if name not in known:
            raise ValueError(f"unknown setting {name!r}; known: {', '.join(sorted(known))}")
        values[name] = _coerce(name, value, ServerConfig.__dataclass_fields__[name].type)
    return ServerConfig(**values)


def _coerce(name: str, value: Any, kind: Any) -> Any:
    if kind == "Path":
        return Path(value).expanduser()
    if kind == "Playing":
        return _playing(value)
    if kind == "float" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    expected = {"int": int, "float": float, "bool": bool}.get(str(kind), str)
    if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
        raise ValueError(f"{name} = {value!r}: must be of type {expected.__name__}")
    return value


def _playing(value: Any) -> Playing:
    if not isinstance(value, dict):
        raise ValueError(f"playing = {value!r}: must be a table")
    known = {f.name: f.type for f in dataclasses.fields(Playing)}
    for name in value:
        if name not in known:
            raise ValueError(f"unknown setting 'playing.{name}'; known: {', '.join(known)}")
    return Playing(**{name: _coerce(name, v, known[name]) for name, v in value.items()})
