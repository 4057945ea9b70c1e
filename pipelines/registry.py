"""Avatar systems by name, imported when they are asked for.

Another distribution adds a system by an entry point of the group `vivavoce.pipelines`, whose name
is the system's and whose object is an instance of it (see `pipelines.pipeline.System`).
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pipelines.pipeline import System

GROUP = "vivavoce.pipelines"
_OURS = {
    "portrait": "pipelines.portrait.system:SYSTEM",
    "anitalker": "pipelines.anitalker.system:SYSTEM",
    "swaptalk": "pipelines.swaptalk.system:SYSTEM",
}


def known_systems() -> tuple[str, ...]:
    """The names that `find_system` knows, ours first."""
    others = sorted(point.name for point in metadata.entry_points(group=GROUP))
    return (*_OURS, *(name for name in others if name not in _OURS))


@cache
def find_system(name: str) -> System:
    """The system of that name.

    Raises:
        ValueError: there is none, or its distribution cannot be imported.
    """
    if name in _OURS:
        module, _, attribute = _OURS[name].partition(":")
        system: System = getattr(importlib.import_module(module), attribute)
        return system
    for point in metadata.entry_points(group=GROUP):
        if point.name == name:
            try:
                found: System = point.load()
            except Exception as error:  # the code of others may fail in any way
                raise ValueError(f"the pipeline {name!r} cannot be imported: {error}") from error
            return found
    raise ValueError(f"unknown pipeline {name!r}; known: {', '.join(known_systems())}")


def read_options(system: System, values: Mapping[str, Any]) -> Any:
    """The system's options from a table of a TOML file or from `--set` (then all are strings).

    Fields are bool, int, float, str, Path or a Literal; one that is a dataclass itself is a table,
    or "table.field" in `values`.

    Raises:
        ValueError: an unknown option, one of another type, or one out of its range.
    """
    return _read(system.Options, values, f"pipeline.{system.name}")


def _read(kind: type[Any], values: Mapping[str, Any], where: str) -> Any:
    hints = get_type_hints(kind)
    given: dict[str, Any] = {}
    for name, value in values.items():
        table, _, inner = name.partition(".")
        if inner and dataclasses.is_dataclass(hints.get(table)):
            given[table] = {**_table(given.get(table, {}), f"{where}.{table}"), inner: value}
        else:
            given[name] = value
    for name, value in given.items():
        if name not in hints:
            raise ValueError(f"unknown option {where}.{name}; known: {', '.join(hints) or 'none'}")
        given[name] = _coerce(hints[name], value, f"{where}.{name}")
    return kind(**given)


def _table(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{where} = {value!r}: must be a table")
    return value


def _coerce(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return _read(hint, _table(value, where), where)  # type: ignore[arg-type]
    if get_origin(hint) is Literal:
        for choice in get_args(hint):
            if value == choice or value == str(choice):
                return choice
        choices = ", ".join(map(str, get_args(hint)))
        raise ValueError(f"{where} = {value!r}: must be one of {choices}")
    if hint is Path and isinstance(value, str):
        return Path(value).expanduser()
    if hint is bool and value in ("true", "false"):
        return value == "true"
    if hint in (int, float) and isinstance(value, str | int) and not isinstance(value, bool):
        try:
            return hint(value)
        except ValueError:
            raise ValueError(f"{where} = {value!r}: must be of type {hint.__name__}") from None
    if not isinstance(value, hint) or (hint is not bool and isinstance(value, bool)):
        raise ValueError(f"{where} = {value!r}: must be of type {hint.__name__}")
    return value
