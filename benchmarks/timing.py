"""Quantiles and machine stamps: what makes a number worth keeping."""

from __future__ import annotations

import datetime
import json
import os
import platform
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.machine import measure_machine

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("torch", "onnxruntime", "numpy", "aiortc", "av", "mediapipe")


def quantiles(values: Iterable[float], digits: int = 2) -> dict[str, float] | None:
    """Median, 95th and 99th percentile and how many there were; None for nothing."""
    found = np.array(list(values), dtype=np.float64)
    if not len(found):
        return None
    named = {f"p{q}": round(float(np.percentile(found, q)), digits) for q in (50, 95, 99)}
    return named | {"count": len(found)}


def spread(values: Iterable[float], digits: int = 1) -> dict[str, float] | None:
    """Median, and what 1 and 99 of 100 do not exceed; None for nothing."""
    found = np.array(list(values), dtype=np.float64)
    if not len(found):
        return None
    named = {f"p{q}": round(float(np.percentile(found, q)), digits) for q in (1, 50, 99)}
    return named | {"count": len(found)}


def processor() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((ln.split(":")[1].strip() for ln in lines if ln.startswith("model name")), "?")


def machine_stamp() -> dict[str, Any]:
    """Hardware, versions, date and command line of this run."""
    import torch

    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "processor": processor(),
        **measure_machine()._asdict(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "versions": versions,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "load_average_before": round(os.getloadavg()[0], 2),
        "command": " ".join(["python", "-m", *_module(), *sys.argv[1:]]),
    }


def _module() -> list[str]:
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return [spec.name if spec is not None else Path(sys.argv[0]).name]


def write_result(name: str, figures: Any) -> Path:
    """Keep figures with the machine's stamp in `benchmarks/results/NAME.json`; say what machine."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    stamp = machine_stamp()
    print("{processor}, {cores} cores, {matmul_gflops} GFLOP/s, {add_us} us".format(**stamp))
    path.write_text(json.dumps({"machine": stamp, "figures": figures}, indent=2) + "\n")
    return path
