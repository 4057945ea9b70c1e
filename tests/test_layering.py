"""The whole import graph: arrows point one way, there are no circles, the event loop has no torch.

realtime -> pipelines -> kernels; training and benchmarks stand aside; nothing imports tests.
vivavoce_client is of others: it knows nothing of the server, and the server nothing of it; only
`vivavoce camera` is a client that comes with the server.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MEDIA = {"asyncio", "av", "aiortc"}
ASIDE = {"training", "benchmarks", "tests", "vivavoce_client"}
FORBIDDEN = {
    "kernels": {"pipelines", "realtime"} | ASIDE | MEDIA,
    "pipelines": {"realtime"} | ASIDE | MEDIA,
    "realtime": ASIDE,
    "training": {"realtime", "benchmarks", "tests", "vivavoce_client"},
    "benchmarks": {"tests"},
    "vivavoce_client": {"kernels", "pipelines", "realtime", "torch"} | ASIDE - {"vivavoce_client"},
}
PLACES = {"vivavoce_client": ROOT / "integrations" / "client"}
"""Of packages that are distributions of their own; the others lie in `ROOT`."""
MAY_DECODE = {  # what enrolment, in a process of its own, and kept clips are read with
    f"pipelines.photo.{name}"
    for name in ("heif", "video.container", "video.kept", "video.sound", "video.upright")
}
KERNELS_MAY_IMPORT = {"torch", "numpy", "triton", "kernels"}
EVENT_LOOP = "realtime.http.run"
"""What `vivavoce serve` runs in the process that holds the event loop."""


def module_name(path: Path, place: Path) -> str:
    parts = path.relative_to(place).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {
    module_name(path, place): path
    for package in FORBIDDEN
    for place in [PLACES.get(package, ROOT)]
    for path in sorted((place / package).rglob("*.py"))
}


def statements(tree: ast.AST, everywhere: bool) -> list[ast.AST]:
    """Import statements that run: all, or only those that run when the module is imported."""
    found: list[ast.AST] = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if not everywhere and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            found.append(node)
        found += statements(node, everywhere)
    return found


@cache
def imports(module: str, everywhere: bool) -> frozenset[str]:
    """Names of modules that `module` imports; ours whole, others by their first word."""
    names: set[str] = set()
    for node in statements(ast.parse(FILES[module].read_text()), everywhere):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name for name in inner if name in FILES} or {node.module}
    return frozenset(name if name in FILES else name.split(".")[0] for name in names)


@pytest.mark.parametrize("module", FILES)
def test_imports_point_one_way(module: str) -> None:
    package = module.split(".")[0]
    tops = {name.split(".")[0] for name in imports(module, everywhere=True)}
    may = {"av"} if module in MAY_DECODE else set()
    may |= {"vivavoce_client"} if module.startswith("realtime.camera") else set()
    assert not tops & (FORBIDDEN[package] - may)
    if package == "kernels":
        assert tops - set(sys.stdlib_module_names) <= KERNELS_MAY_IMPORT


def test_no_circles() -> None:
    """A depth-first walk of what runs on import meets no module that it is still inside of."""
    done: set[str] = set()

    def walk(module: str, inside: tuple[str, ...]) -> None:
        assert module not in inside, " -> ".join([*inside[inside.index(module) :], module])
        if module in done:
            return
        for name in sorted(imports(module, everywhere=False) & FILES.keys()):
            if name != module:
                walk(name, (*inside, module))
        done.add(module)

    for module in FILES:
        walk(module, ())


def test_the_event_loop_process_imports_no_torch() -> None:
    """Not even through others: the way to torch is printed if there is one."""
    way = {EVENT_LOOP: ""}
    waiting = [EVENT_LOOP]
    while waiting:
        module = waiting.pop()
        for name in imports(module, everywhere=False):
            assert name != "torch", f"{module} imports torch; reached by {_path(way, module)}"
            if name in FILES and name not in way:
                way[name] = module
                waiting.append(name)


def _path(way: dict[str, str], module: str) -> str:
    steps = [module]
    while way[steps[-1]]:
        steps.append(way[steps[-1]])
    return " <- ".join(steps)


def test_the_event_loop_process_has_no_torch_when_it_runs() -> None:
    """The same of the interpreter itself, third parties included."""
    code = f"import sys, {EVENT_LOOP}; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.stdout.strip() == "False", run.stderr
