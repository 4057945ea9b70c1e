"""What computes, and what is said of it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

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
