"""Imports point one way: realtime -> pipelines -> kernels, and nothing imports training."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MEDIA = {"asyncio", "av", "aiortc"}
FORBIDDEN = {
    "kernels": {"pipelines", "realtime", "training", "benchmarks", "tests"} | MEDIA,
    "pipelines": {"realtime", "training", "benchmarks", "tests"} | MEDIA,
    "realtime": {"training", "benchmarks", "tests"},
    "training": {"realtime", "benchmarks", "tests"},
}
MAY_IMPORT_TORCH = {"device.py", "render.py"}


def imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


FILES = [path for package in FORBIDDEN for path in sorted((ROOT / package).rglob("*.py"))]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(path):
    package = path.relative_to(ROOT).parts[0]
    names = imports(path)
    tops = {name.split(".")[0] for name in names}
    forbidden = FORBIDDEN[package]
    if "training" in path.parts:
        forbidden = forbidden - {"av"}  # the corpus passes through Opus
    assert not tops & forbidden
    if package == "pipelines" and "training" not in path.parts:
        assert not any(name.startswith("training") for name in names)
    if package == "realtime" and path.name not in MAY_IMPORT_TORCH:
        assert "torch" not in tops
