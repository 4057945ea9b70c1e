"""Server configuration: the only reader of its files and flags, and of its environment."""

from __future__ import annotations

import dataclasses
import logging
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pipelines.photo.framing import SQUARE, choose_size, find_frame, frames_of
from pipelines.pipeline import Size
from pipelines.registry import find_system, known_systems, read_options
from realtime.access.settings import AccessSettings
from realtime.cores import is_cores

logger = logging.getLogger(__name__)

MIB = 1024 * 1024
DEFAULT_PIPELINE = "portrait"
_OLD_OPTIONS = ("renderer_weights", "motion_weights", "precision", "playing")
"""Settings of releases in which they stood beside the server's own."""


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


def api_key() -> str:
    """The key that `vivavoce enrol` shows to a running server that asks for one."""
    return os.environ.get("VIVAVOCE_API_KEY", "")


@dataclass(frozen=True, kw_only=True)
class ServerConfig(AccessSettings):
    """Everything an operator can set. Field names are the keys of the TOML file, except that
    `options` are its tables `[pipeline.NAME]`.

    Raises:
        ValueError: a value outside its range; the message names field, value and rule.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    pipeline: str = DEFAULT_PIPELINE  # what a session gets that names none
    pipelines: tuple[str, ...] = ()  # loaded at start, besides `pipeline`
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # of pipelines, by name
    load_on_demand: bool = False  # load another one when a session names it
    load_memory_bytes: int = 1536 * MIB  # that must be free for that
    device: Literal["auto", "cpu", "cuda"] = "auto"
    backend: Literal["auto", "torch", "onnxruntime"] = "auto"  # auto: the faster one, measured
    graphs: bool = True  # on a GPU launch steps whole; off to look for faults, slowly
    tf32: bool = False  # on a GPU let convolutions round, see `pipelines.card`
    size: int | str = ""  # height, or WIDTHxHEIGHT; empty: what is usual for the frame
    frame: str = SQUARE  # what a session shows that asks for none: square, photo, 16:9
    max_sessions: int = 8
    media_processes: int = 1  # that share the sessions; 1: they are in the server's own
    media_cores: str = ""  # of the machine that media processes may use, like 2-7,10; empty: all
    encoder_niceness: int = 3  # by which encoders in media processes yield, to inference above all
    load_share: float = 0.75  # of the machine that sessions may fill; above 1 oversells it
    video_codec: Literal["auto", "VP8", "H264"] = "auto"
    data_dir: Path = field(default_factory=default_data_dir)
    cast_dir: Path = field(default_factory=shipped_cast_dir)
    identity_cache_bytes: int = 256 * MIB
    max_sdp_bytes: int = 64 * 1024
    max_image_bytes: int = 30 * MIB
    max_video_bytes: int = 512 * MIB
    max_avatars: int = 200
    enrol_wait_s: float = 60.0  # for features being made, before a caller is told to come again
    enrol_stall_s: float = 300.0  # an enrolment without a sign of progress is ended after this
    connect_timeout_s: float = 20.0  # from the offer to the first connected transport
    unclaimed_s: float = 5.0  # after which a session that nobody came to gives way to a newcomer
    session_limit_s: float = 0.0  # a session ends after this, and is told 10 s before; 0: none does
    idle_limit_s: float = 0.0  # a silent session ends after this, told 30 s before; 0: none does
    ping_timeout_s: float = 8.0  # a data channel that pinged once and then went silent
    drain_timeout_s: float = 20.0  # what SIGTERM grants running sessions
    allow_remote: bool = False
    api_keys: str = field(default_factory=lambda: os.environ.get("VIVAVOCE_API_KEYS", ""))
    log_json: bool = False

    def __post_init__(self) -> None:
        def check(ok: bool, name: str, rule: str) -> None:
            if not ok:
                raise ValueError(f"{name} = {getattr(self, name)!r}: {rule}")

        for name in (*self.loaded, *self.options):
            self.options_of(name)  # raises where there is no such pipeline or option
        self.size_of(self.pipeline)
        check(0 <= self.port <= 65535, "port", "must be between 0 and 65535")
        check(self.device in ("auto", "cpu", "cuda"), "device", "must be auto, cpu or cuda")
        check(
            self.backend in ("auto", "torch", "onnxruntime"),
            "backend",
            "must be auto, torch or onnxruntime",
        )
        check(1 <= self.max_sessions <= 256, "max_sessions", "must be between 1 and 256")
        check(1 <= self.media_processes <= 64, "media_processes", "must be between 1 and 64")
        check(0 <= self.encoder_niceness <= 19, "encoder_niceness", "must be between 0 and 19")
        check(is_cores(self.media_cores), "media_cores", "must be like 2-7,10")
        check(0.1 <= self.load_share <= 10.0, "load_share", "must be between 0.1 and 10")
        check(
            self.video_codec in ("auto", "VP8", "H264"), "video_codec", "must be auto, VP8 or H264"
        )
        limit = self.session_limit_s
        check(limit == 0 or limit >= 30, "session_limit_s", "must be 0 or at least 30 seconds")
        idle = self.idle_limit_s
        check(idle == 0 or idle >= 60, "idle_limit_s", "must be 0 or at least 60 seconds")
        is_file = self.data_dir.exists() and not self.data_dir.is_dir()
        check(not is_file, "data_dir", "is a file, not a folder")
        check(self.ping_timeout_s >= 3, "ping_timeout_s", "must be at least 3 seconds")
        check(self.enrol_stall_s >= 1, "enrol_stall_s", "must be at least 1 second")
        check(
            self.loopback or self.allow_remote,
            "host",
            "others could reach the server, each with a key; add --allow-remote if that is meant",
        )
        self.check_access()

    @property
    def loaded(self) -> tuple[str, ...]:
        """The pipelines loaded at start, the default first."""
        return tuple(dict.fromkeys((self.pipeline, *self.pipelines)))

    def options_of(self, name: str) -> Any:
        """The pipeline's own options, an instance of its `System.Options`.

        Raises:
            ValueError: there is no such pipeline or option, or a value does not fit.
        """
        return read_options(find_system(name), self.options.get(name, {}))

    def frame_of(self, name: str) -> str:
        """The frame of a session of this pipeline that asks for none: `frame` where it has that
        one, else the square.

        Raises:
            ValueError: the default pipeline has no such frame.
        """
        system = find_system(name)
        if name == self.pipeline:
            find_frame(system, self.frame)
        return self.frame if self.frame in frames_of(system) else SQUARE

    def size_of(self, name: str, frame: str | None = None) -> Size:
        """The picture size of a session of this pipeline, in `frame` or its usual one, that asks
        for none: `size` where there is that one, else what is usual there.

        Raises:
            ValueError: the default pipeline has no such size in its usual frame, or no such frame.
        """
        system, usual = find_system(name), self.frame_of(name)
        try:
            return choose_size(system, self.size, frame or usual)
        except ValueError:
            if name == self.pipeline and (frame or usual) == usual:
                raise
            return find_frame(system, frame or usual).default

    @property
    def identities_dir(self) -> Path:
        """Where identity features are kept, by key."""
        return self.data_dir / "identities"

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return self.host.lower() in ("127.0.0.1", "localhost", "::1")

    @property
    def address_limit(self) -> int:
        """How many sessions an address may have at once; 0: no limit of its own."""
        limit = self.sessions_per_address
        return limit if isinstance(limit, int) else (self.max_sessions + 1) // 2

    @property
    def exposed(self) -> bool:
        """Whether others can reach it, themselves or through a proxy: all callers need a key."""
        return not self.loopback or bool(self.public_origin or self.trusted_proxies)


def load_config(
    path: Path | None, overrides: Mapping[str, Any], settings: Sequence[str] = ()
) -> ServerConfig:
    """Read a TOML file (if given) and lay `overrides` (flags that were set) over it, and over both
    `settings`, each "OPTION=VALUE" of the chosen pipeline or "NAME.OPTION=VALUE" of any.

    Raises:
        ValueError: unreadable file, unknown key, wrong type or value out of range.
    """
    values = {} if path is None else _read(path)
    tables = values.pop("pipeline", {})
    if not isinstance(tables, Mapping):  # pipeline = "NAME", where no table stands beside it
        values["pipeline"], tables = tables, {}
    options = {name: dict(_table(name, table)) for name, table in tables.items()}
    flags = dict(overrides)
    chosen = _choose(values | flags)
    _take_old_options(values, options, chosen, over=False)
    _take_old_options(flags, options, chosen, over=True)
    values |= flags | {"pipeline": chosen}
    for setting in settings:
        name, option, value = _split(setting, chosen)
        options.setdefault(name, {})[option] = value
    known = _known()
    for name, value in values.items():
        if name not in known:
            raise ValueError(f"unknown setting {name!r}; known: {', '.join(sorted(known))}")
        values[name] = _coerce(name, value, known[name])
    return ServerConfig(**values, options=options)


def _known() -> dict[str, str]:
    """Names and types of the settings."""
    fields = dataclasses.fields(ServerConfig)
    return {f.name: str(f.type) for f in fields if f.name != "options"}


def _choose(values: Mapping[str, Any]) -> str:
    """The default pipeline: the one named, else the first of those to load."""
    given = {name: values[name] for name in ("pipeline", "pipelines") if name in values}
    read = {name: _coerce(name, value, _known()[name]) for name, value in given.items()}
    first: str = read.get("pipeline") or next(iter(read.get("pipelines", ())), DEFAULT_PIPELINE)
    return first


def _read(path: Path) -> dict[str, Any]:
    text = ""
    try:
        text = path.read_text()
        return tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        hint = ""
        if re.search(r"^pipeline *=", text, re.MULTILINE) and "[pipeline." in text:
            hint = '; beside tables [pipeline.NAME] choose by pipelines = ["NAME"], the first wins'
        raise ValueError(f"cannot read the configuration {path}: {error}{hint}") from error


def _table(name: str, table: Any) -> Mapping[str, Any]:
    if not isinstance(table, Mapping):
        raise ValueError(f"pipeline.{name} = {table!r}: must be a table of the pipeline's options")
    return table


def _take_old_options(
    values: dict[str, Any], options: dict[str, dict[str, Any]], chosen: str, *, over: bool
) -> None:
    """Move settings of older releases to the options of the chosen pipeline; `over`: even where
    it has that option already."""
    given = [name for name in _OLD_OPTIONS if name in values]
    if not given:
        return
    fields = {f.name for f in dataclasses.fields(find_system(chosen).Options)}
    for name in given:
        value = values.pop(name)
        if value == "":  # as if it had not been given
            continue
        if name in fields:
            logger.warning(
                "the setting %s has moved: use [pipeline.%s] %s, or --set", name, chosen, name
            )
            table = options.setdefault(chosen, {})
            if over or name not in table:
                table[name] = value
        elif name == "renderer_weights":
            raise ValueError(f"the {chosen} renderer has no weights to replace by {value!r}")
        else:
            logger.warning("the setting %s does nothing for the pipeline %s", name, chosen)


def _split(setting: str, chosen: str) -> tuple[str, str, str]:
    """The pipeline, option and value of a `--set`."""
    option, equals, value = setting.partition("=")
    if not equals or not option.strip():
        raise ValueError(f"--set {setting!r}: must be OPTION=VALUE or NAME.OPTION=VALUE")
    name, dot, rest = option.strip().partition(".")
    if dot and name in known_systems():
        return name, rest, value.strip()
    return chosen, option.strip(), value.strip()


def _coerce(name: str, value: Any, kind: str) -> Any:
    if kind == "Path" and isinstance(value, str | Path):
        return Path(value).expanduser()
    if kind == "tuple[str, ...]":
        if not isinstance(value, list | tuple) or not all(isinstance(v, str) for v in value):
            raise ValueError(f"{name} = {value!r}: must be a list of names")
        return tuple(value)
    if kind == "int | str":
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ValueError(f"{name} = {value!r}: must be a number or a text")
        return value
    if kind == "float" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    expected = {"int": int, "float": float, "bool": bool}.get(kind, str)  # a path is a string
    if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
        raise ValueError(f"{name} = {value!r}: must be of type {expected.__name__}")
    return value
