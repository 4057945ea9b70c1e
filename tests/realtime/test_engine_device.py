"""What computes, and what is said of it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from pipelines.card import tf32_of_card
from realtime.engine import device
from realtime.engine.device import choose_device


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where a driver would show; it does once the file is there."""
    path = tmp_path / "nvidiactl"
    monkeypatch.setattr(device, "_DRIVERS", (path,))
    return path


def test_without_a_driver_the_cpu_computes_and_the_log_says_why(
    driver: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert choose_device("auto") == "cpu"
    [said] = [record.getMessage() for record in caplog.records]
    assert said == "the CPU computes: PyTorch finds no CUDA device: there is no NVIDIA driver"


@pytest.mark.skipif(torch.cuda.is_available(), reason="a card is there")
def test_a_driver_that_pytorch_cannot_use_is_no_silent_fall_back(
    driver: Path, caplog: pytest.LogCaptureFixture
) -> None:
    driver.touch()
    with caplog.at_level(logging.INFO):
        assert choose_device("auto") == "cpu"
    assert f"{torch.__version__} is a build for CPUs" in caplog.records[0].getMessage()
    with pytest.raises(ValueError, match=r"device = 'cuda', but PyTorch finds no CUDA device"):
        choose_device("cuda")


def test_who_wants_the_cpu_is_asked_nothing(driver: Path, caplog: pytest.LogCaptureFixture) -> None:
    driver.touch()
    with caplog.at_level(logging.INFO):
        assert choose_device("cpu") == "cpu"
    assert not caplog.records


@pytest.mark.parametrize("tf32", [False, True])
def test_a_card_is_set_up_and_the_log_says_how(
    driver: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tf32: bool
) -> None:
    """Whatever PyTorch does by itself: for convolutions that is TF32."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a card")
    monkeypatch.setattr(device, "set_up_thread", lambda: None)
    driver.touch()
    flags = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [each.allow_tf32 for each in flags]
    try:
        for each in flags:
            each.allow_tf32 = True
        with caplog.at_level(logging.INFO):
            assert choose_device("auto", tf32=tf32) == "cuda"
        assert tf32_of_card() == {"convolutions": tf32, "products": False}
    finally:
        for each, value in zip(flags, before, strict=True):
            each.allow_tf32 = value
    said = caplog.records[0].getMessage()
    assert said == f"a GPU computes: a card, {'convolutions in TF32' if tf32 else 'all in float32'}"
