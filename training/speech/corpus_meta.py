"""What a corpus is, beside it: seed, configuration, and the hours of every voice."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from training.speech.corpus_store import LABEL_LIST, Line, Split
from training.speech.corpus_stretches import LENGTH_S, SAMPLES


def stored_config(out: Path) -> dict[str, Any]:
    """The configuration of the corpus that is there."""
    config: dict[str, Any] = json.loads((out / "meta.json").read_text(encoding="utf-8"))["config"]
    return config


def write_meta(out: Path, config: Mapping[str, Any], splits: Iterable[str]) -> None:
    """What the corpus is and how much of whom it holds."""
    out.mkdir(parents=True, exist_ok=True)
    made = [name for name in splits if (out / name).is_dir()]
    hours = {name: _hours(Split(out / name).lines()) for name in made}
    meta = {
        "seed": config["seed"],
        "config": config,
        "labels": LABEL_LIST,
        "length_s": LENGTH_S,
        "samples": SAMPLES,
        "splits": hours,
        "versions": {"numpy": np.__version__, "torch": torch.__version__, **_engines()},
    }
    (out / "meta.json").write_text(json.dumps(meta, indent=1) + "\n", encoding="utf-8")


def _hours(lines: Iterable[Line]) -> dict[str, object]:
    voices: Counter[str] = Counter()
    languages: Counter[str] = Counter()
    speech = count = 0.0
    for line in lines:
        voices[line.voice] += LENGTH_S
        languages[line.language] += LENGTH_S
        speech += line.speech_s
        count += 1
    return {
        "stretches": count,
        "hours": round(count * LENGTH_S / 3_600, 3),
        "hours_of_phones": round(speech / 3_600, 3),
        "voices": {name: round(s / 3_600, 3) for name, s in voices.most_common()},
        "languages": {name: round(s / 3_600, 3) for name, s in languages.most_common()},
    }


def _engines() -> dict[str, str]:
    said = {"espeak-ng": ("--version",), "festival": ("--version",), "flite": ("--version",)}
    return {
        name: subprocess.run([name, *args], capture_output=True, text=True).stdout.split("\n")[0]
        for name, args in said.items()
    }
