"""Do two versions of vivavoce render the same clips? Frame by frame, with a table.

    python -m benchmarks.speed.compare_renders OLD NEW

Each version is a checkout, run by this python, or the python of an environment that vivavoce is
installed in. Both render every avatar with every pipeline and seed, from the same sound in files
that decode to pieces of different lengths; the frames of each clip, decoded, must be those of the
old version's. Equal frames encoded with equal settings are equal bytes, so what is compared are
the pictures as they went into the encoder. Of the sound, whose quality may differ, only length and
position must agree.

Exit status 1 if any clip differs or could not be rendered.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from benchmarks.service.signals import clicks_and_vowels
from benchmarks.sound_files import write_sound

SOUNDS = {
    "wav": ("sound.wav", "pcm_s16le", (4_800,)),
    "flac": ("sound.flac", "flac", (4_800,)),
    "odd": ("sound.mka", "pcm_s16le", (1, 777, 1_920, 4_801, 63)),
}
"""Name -> file, codec, lengths of the pieces that it decodes to."""
REFERENCE = "wav"


@dataclass(frozen=True)
class Case:
    """One clip to render."""

    avatar: str
    pipeline: str
    seed: int
    sound: str


@dataclass(frozen=True)
class Version:
    """A vivavoce that can be run."""

    name: str
    python: Path
    checkout: Path | None

    @classmethod
    def of(cls, name: str, path: Path) -> Version:
        """From the path of a checkout or of a python."""
        if path.is_dir():
            return cls(name, Path(sys.executable), path.resolve())
        return cls(name, path.absolute(), None)

    def render(self, case: Case, folder: Path, size: int) -> Path:
        """Render into `folder`, where the sounds are.

        Raises:
            ValueError: it failed, with the last line it said.
        """
        out = folder / f"{self.name}-{case.avatar}-{case.pipeline}-{case.seed}-{case.sound}.mp4"
        words = [self.python, "-m", "realtime.cli", "render"]
        words += ["--avatar", case.avatar, "--audio", folder / SOUNDS[case.sound][0], "--out", out]
        words += ["--pipeline", case.pipeline, "--seed", str(case.seed), "--size", str(size)]
        words += ["--data-dir", folder / f"{self.name}-data"]
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        # Sums of floats depend on the number of threads, which enrolments of some versions took
        # from the machine.
        environment["OMP_NUM_THREADS"] = "1"
        if self.checkout is not None:
            environment["PYTHONPATH"] = str(self.checkout)
        done = subprocess.run(
            words, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise ValueError(f"{self.name}: {(done.stderr.strip() or 'failed').splitlines()[-1]}")
        return out


@dataclass(frozen=True)
class Clip:
    """A clip, decoded."""

    pictures: tuple[str, ...]
    """A hash of the planes of each frame."""
    sound: NDArray[np.float32]
    """[n], mono."""
    sound_start_s: float

    @classmethod
    def read(cls, path: Path) -> Clip:
        """Decode the file whole."""
        with av.open(str(path)) as container:
            pictures = tuple(
                hashlib.sha256(frame.to_ndarray().tobytes()).hexdigest()
                for frame in container.decode(video=0)
            )
        with av.open(str(path)) as container:
            parts = list(container.decode(audio=0))
            sound = np.concatenate([part.to_ndarray().mean(axis=0) for part in parts])
            return cls(pictures, sound, float(parts[0].time or 0.0))


def differences(old: Clip, new: Clip) -> list[str]:
    """What differs, in words."""
    said = []
    if len(old.pictures) != len(new.pictures):
        said.append(f"{len(old.pictures)} and {len(new.pictures)} frames")
    unequal = [
        n for n, (a, b) in enumerate(zip(old.pictures, new.pictures, strict=False)) if a != b
    ]
    if unequal:
        said.append(f"{len(unequal)} frames differ, the first is number {unequal[0]}")
    if len(old.sound) != len(new.sound):
        said.append(f"{len(old.sound)} and {len(new.sound)} samples")
    lag = _lag(old.sound, new.sound)
    if lag or old.sound_start_s != new.sound_start_s:
        said.append(f"sound moved by {lag} samples")
    return said


def _lag(old: NDArray[np.float32], new: NDArray[np.float32]) -> int:
    """Samples by which `new` is later, at best correlation."""
    length = len(old) + len(new)
    spectrum = np.fft.rfft(new, length) * np.conj(np.fft.rfft(old, length))
    best = int(np.argmax(np.fft.irfft(spectrum, length)))
    return best if best < length // 2 else best - length


def cases(args: argparse.Namespace) -> Iterator[Case]:
    """All combinations; the sounds other than the first with the first seed only."""
    for avatar, pipeline, seed in product(args.avatars, args.pipelines, args.seeds):
        for sound in SOUNDS if seed == args.seeds[0] else (REFERENCE,):
            yield Case(avatar, pipeline, seed, sound)


def compare(args: argparse.Namespace, folder: Path) -> int:
    """Print a line for each clip; returns how many differ."""
    speech = (clicks_and_vowels(args.repeats) * 20_000).astype(np.int16)[:-700]
    for name, codec, lengths in SOUNDS.values():
        write_sound(folder / name, speech, codec, lengths)
    old, new = Version.of("old", args.old), Version.of("new", args.new)
    print(f"{'avatar':<10} {'pipeline':<10} {'seed':>4} {'sound':<5} {'frames':>6}  verdict")
    failures = 0
    reference = nothing = Clip((), np.zeros(1, np.float32), 0.0)
    for case in cases(args):
        try:
            if case.sound == REFERENCE:
                reference = nothing
                reference = Clip.read(old.render(case, folder, args.size))
                clips = [new.render(case, folder, args.size)]
            else:
                clips = [version.render(case, folder, args.size) for version in (old, new)]
            said = [word for path in clips for word in differences(reference, Clip.read(path))]
        except ValueError as error:
            said = [str(error)]
        failures += bool(said)
        print(
            f"{case.avatar:<10} {case.pipeline:<10} {case.seed:>4} {case.sound:<5} "
            f"{len(reference.pictures):>6}  {'; '.join(said) or 'equal'}",
            flush=True,
        )
    return failures


def main(argv: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("old", type=Path, help="a checkout, or the python of an environment")
    parser.add_argument("new", type=Path, help="as OLD")
    parser.add_argument("--avatars", nargs="+", default=["amara", "henrik", "mei"])
    parser.add_argument("--pipelines", nargs="+", default=["portrait", "anitalker"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=1, help="of 1.5 s of sound (default 1)")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        failures = compare(args, Path(folder))
    print("all equal" if not failures else f"{failures} differ")
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
