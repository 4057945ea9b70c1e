"""What people read names nothing that is not there: places, modules, commands, calls, settings."""

import argparse
import ast
import re
import tempfile
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from realtime.access.table import TABLE
from realtime.cli import _parser as command_line
from realtime.config import load_config
from tests.test_docs import PAGES, ROOT

PLACE = re.compile(
    r"(?<![\w./-])(?:kernels|pipelines|realtime|training|benchmarks|tests|deploy|web_client|weights"
    r"|cast|integrations|examples|docs)/[\w*./-]+"
)
STANDS_FOR = re.compile(r"[A-Z]{2,}\b")
"""What the reader puts something in the place of: `weights/NAME.onnx`."""
MODULE = re.compile(
    r"(?<![\w./-])(?:kernels|pipelines|realtime|training|benchmarks|tests|vivavoce_client)"
    r"(?:\.[a-zA-Z_]\w*)+(?!\()"
)
ENDINGS = {"md", "json", "toml", "safetensors"}
RUN = re.compile(r"(?<!\w)python -m ((?:benchmarks|training)[\w.]*)([^`\n]*)")
COMMAND = re.compile(r"^\s*(?:\S*/)?vivavoce ([a-z]+)\b(.*)", re.MULTILINE)
CODE = re.compile(r"^ *```\w*\n(.*?)^ *```|`([^`\n]+)`", re.DOTALL | re.MULTILINE)
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
CALL = re.compile(
    r"\b(GET|POST|PATCH|DELETE) (/(?:v1|whip|whep|api|health|ready|metrics)[\w/{}.-]*)"
)
TOML = re.compile(r"^```toml\n(.*?)^```", re.DOTALL | re.MULTILINE)
VARIABLE = re.compile(r"\bVIVAVOCE_[A-Z_]+\b")


def places(text: str) -> Iterator[str]:
    """Files and folders that are not there."""
    for place in PLACE.findall(text):
        place = place.rstrip("./-")
        if not STANDS_FOR.search(place) and not any(ROOT.glob(place)):
            yield place


@cache
def module_file(name: str) -> Path | None:
    """Where the module or package of that name lies."""
    top = ROOT / "integrations/client" if name.startswith("vivavoce_client") else ROOT
    path = top.joinpath(*name.split("."))
    found = path / "__main__.py", path / "__init__.py", path.with_suffix(".py")
    return next((each for each in found if each.is_file()), None)


def modules(text: str) -> Iterator[str]:
    """Modules, and names in them, that are not there."""
    for name in MODULE.findall(text):
        before, _, last = name.rpartition(".")
        if last in ENDINGS or module_file(name) is not None:
            continue
        holder = module_file(before)
        defined = re.compile(rf"^(?:class |(?:async )?def )?{last}\b", re.MULTILINE)
        if holder is None or not defined.search(holder.read_text()):
            yield name


@cache
def flags_of(module: str) -> frozenset[str]:
    """What a module and those of ours that it imports write as a flag, in quotes."""
    waiting, seen, found = [module], {module}, set[str]()
    while waiting:
        path = module_file(waiting.pop())
        if path is None:
            continue
        text = path.read_text()
        found |= set(re.findall(r'"(--[a-z0-9-]+)"', text))
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and node.module:
                names = {node.module, *(f"{node.module}.{each.name}" for each in node.names)}
                ours = {each for each in names if each.startswith(("benchmarks", "training"))}
                waiting += sorted(ours - seen)
                seen |= ours
    return frozenset(found)


def runs(text: str) -> Iterator[str]:
    """Flags that a module of ours does not take."""
    for module, words in RUN.findall(joined(text)):
        taken = flags_of(module.rstrip("."))
        yield from (f"{module} {flag}" for flag in FLAG.findall(words) if flag not in taken)


@cache
def subcommands() -> dict[str, frozenset[str]]:
    """Flags of each, those of its verbs among them."""

    def below(parser: argparse.ArgumentParser) -> Iterator[str]:
        for action in parser._actions:
            yield from () if action.help == argparse.SUPPRESS else action.option_strings
            if isinstance(action, argparse._SubParsersAction):
                for verb in action.choices.values():
                    yield from below(verb)

    [chosen] = [a for a in command_line()._actions if isinstance(a, argparse._SubParsersAction)]
    return {name: frozenset(below(parser)) for name, parser in chosen.choices.items()}


def commands(text: str) -> Iterator[str]:
    """Subcommands that there are not, and flags that they do not take."""
    code = "\n".join(fenced or inline for fenced, inline in CODE.findall(joined(text)))
    for name, words in COMMAND.findall(code):
        if name not in subcommands():
            yield name
        elif name != "bench":  # what follows is the suite's
            taken = subcommands()[name]
            yield from (f"{name} {flag}" for flag in FLAG.findall(words) if flag not in taken)


def joined(text: str) -> str:
    """Commands that go on in a further line, in one; those of a list of commands too."""
    return re.sub(r" *\\\n\s*|\n {8,}(?=[\[-])", " ", text)


def calls(text: str) -> Iterator[str]:
    """Calls that the server does not answer."""
    known = {(method, re.sub(r"{\w+}", "{}", path)) for method, path in TABLE}
    for method, path in CALL.findall(text):
        asked = method, re.sub(r"{\w+}", "{}", path.rstrip("."))
        if asked not in known and not (method == "GET" and ("WS", asked[1]) in known):
            yield f"{method} {path}"


def settings(text: str) -> Iterator[str]:
    """Examples of a configuration that the server refuses."""
    for example in TOML.findall(text):
        if "project" in tomllib.loads(example):  # a distribution's
            continue
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
            file.write(example)
            file.flush()
            try:
                load_config(Path(file.name), {})
            except ValueError as error:
                yield str(error)


def variables(text: str) -> Iterator[str]:
    """Environment variables that nothing reads."""
    yield from set(VARIABLE.findall(text)) - read_variables()


@cache
def read_variables() -> frozenset[str]:
    found = set[str]()
    for top in ("pipelines", "realtime", "benchmarks", "training", "integrations", "examples"):
        for path in (ROOT / top).rglob("*.py"):
            found |= set(re.findall(r'"(VIVAVOCE_[A-Z_]+)"', path.read_text()))
    return frozenset(found)


CHECKS = (places, modules, runs, commands, calls, settings, variables)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_is_named_exists(page):
    text = page.read_text()
    missing = {check.__name__: list(check(text)) for check in CHECKS}
    assert {name: found for name, found in missing.items() if found} == {}


def test_every_flag_is_explained():
    explained = {flag for page in PAGES for flag in FLAG.findall(page.read_text())}
    for name, flags in subcommands().items():
        assert flags - {"-h"} <= explained, name


@pytest.mark.parametrize(
    ("check", "text", "missing"),
    [
        (places, "realtime/media.py realtime/no.py weights/NAME.onnx", ["realtime/no.py"]),
        (places, "POST /v1/realtime/calls cast/*.md cast/*.no", ["cast/*.no"]),
        (modules, "pipelines.pipeline.System pipelines.no training.md", ["pipelines.no"]),
        (modules, "realtime.media.Hop realtime.media.Hops", ["realtime.media.Hops"]),
        (
            runs,
            "`.venv/bin/python -m benchmarks.speed.pipeline \\\n    --frames 3 --no 4`",
            ["benchmarks.speed.pipeline --no"],
        ),
        (commands, "`vivavoce serve --port 1 --no` `vivavoce no`", ["serve --no", "no"]),
        (
            commands,
            "```\n.venv/bin/vivavoce enrol [IMAGE]\n            [--no]\n```\nvivavoce is",
            ["enrol --no"],
        ),
        (calls, "GET /v1/avatars/{id} POST /v1/avatars/{id}", ["POST /v1/avatars/{id}"]),
        (calls, "GET /v1/realtime POST /v1/realtime/calls DELETE /v1/no.", ["DELETE /v1/no."]),
        (variables, "VIVAVOCE_DATA VIVAVOCE_NO", ["VIVAVOCE_NO"]),
    ],
)
def test_what_does_not_exist_is_found(check, text, missing):
    assert list(check(text)) == missing


def test_a_setting_that_does_not_exist_is_found():
    [complaint] = settings("```toml\nmax_sessions = 3\n```\n```toml\nno = 1\n```\n")
    assert "unknown setting 'no'" in complaint
