"""`vivavoce export`: what it writes and where, and what is said of mistakes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.anitalker.batched import BatchedNetwork
from pipelines.anitalker.config import RendererConfig
from pipelines.anitalker.network import FlowWarp
from pipelines.anitalker.render_batched import BatchedAniTalker
from pipelines.exported.files import load_graph
from pipelines.pipeline import Size
from pipelines.portrait.system import PortraitSystem
from pipelines.rungs import Rungs
from realtime import export
from realtime.cli import main
from tests.support.plugins import installed
from tests.support.small_motion import Nodding, write_motion_weights


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a motion model that takes seconds to export, in place of that of `portrait`."""
    path = write_motion_weights(tmp_path / "weights", Nodding())
    monkeypatch.setattr(PortraitSystem, "motion_to_export", lambda *_: (Nodding(), path))
    monkeypatch.setenv("VIVAVOCE_WEIGHTS", str(tmp_path / "user"))
    return path


@pytest.fixture
def complaint(capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """The one line in which the command says what is wrong."""

    def read() -> str:
        said = capsys.readouterr().err.strip().splitlines()
        assert len(said) == 1
        return said[0]

    return read


def test_it_writes_beside_the_weights_and_says_so(
    weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "portrait"]) == 0
    graph = weights.parent / "nodding.onnx"
    assert capsys.readouterr().out.startswith(f"{graph}: ")
    assert load_graph(Nodding(), weights) is not None


def test_where_the_weights_cannot_be_written_it_lies_among_the_users(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export.os, "access", lambda *_: False)
    assert main(["export", "portrait"]) == 0
    assert (tmp_path / "user" / "nodding.onnx").is_file()
    assert load_graph(Nodding(), weights) is not None


def test_in_another_folder_it_says_where_it_would_be_found(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "portrait", "--onnx", str(tmp_path / "new" / "folder")]) == 0
    assert (tmp_path / "new" / "folder" / "nodding.onnx").is_file()
    assert f"or {tmp_path / 'user'}" in capsys.readouterr().out
    assert not weights.with_suffix(".onnx").exists()


def test_what_draws_is_written_too(
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    complaint: Callable[[], str],
) -> None:
    """Here by a network of a few weights, for the two parts are exported alike."""
    tiny = RendererConfig(size=32, widths=(4, 6, 8, 8), latent_dim=16, motion_dim=5, paints=True)

    def build(_: object, slots: int, size: Size, options: object) -> BatchedAniTalker:
        network = BatchedNetwork(FlowWarp(tiny).eval(), slots)
        return BatchedAniTalker(network, Rungs.of([(size,)]))

    monkeypatch.setattr(PortraitSystem, "renderer_to_export", build)
    asked = ["export", "portrait", "--onnx", str(tmp_path / "new")]
    assert main([*asked, "--pictures", "256", "--faces", "2"]) == 0
    written = tmp_path / "new" / "portrait-256x256-2.onnx"
    assert capsys.readouterr().out.splitlines()[1].startswith(f"{written}: ")
    assert written.is_file()
    assert main([*asked, "--pictures", "300"]) == 1
    assert "size = 300" in complaint()
    for wrong in (["--pictures", "0"], ["--pictures", "256", "--faces", "0"]):
        there = tmp_path / "untouched"
        assert main([*asked[:-1], str(there), *wrong]) == 1  # before the motion was written
        assert wrong[-1] in complaint()
        assert not there.exists()
    assert main([*asked[:-1], str(written)]) == 1
    assert "is a file: name a folder" in complaint()
    assert main(["export", "portrait", "--pictures", "256"]) == 1
    assert "--pictures needs --onnx DIR" in complaint()


def test_mistakes_are_named(
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    complaint: Callable[[], str],
) -> None:
    with installed("toy_pipeline"):
        assert main(["export", "toy"]) == 1
    assert "'toy' has no motion that can be exported" in complaint()
    assert main(["export", "portrait", "--set", "speed=1"]) == 1
    assert "unknown option pipeline.portrait.speed" in complaint()
    assert main(["export", "portrait", "--onnx", str(weights / "below")]) == 1
    assert str(weights) in complaint()
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert main(["export", "portrait"]) == 1
    assert complaint() == ("vivavoce export: exporting needs onnx: pip install 'vivavoce[export]'")


def test_an_unknown_pipeline_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["export", "dreams"])
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert "'dreams' (choose from" in said
    assert "'portrait'" in said


def test_motion_that_is_not_ours_alone_is_not_exported(complaint: Callable[[], str]) -> None:
    assert main(["export", "anitalker", "--set", "motion_weights=anitalker-generator"]) == 1
    assert "'anitalker-generator' cannot be exported" in complaint()
