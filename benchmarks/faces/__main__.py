"""Proof by picture: every look of many photos, and figures by an instrument that is not ours.

    python -m benchmarks.faces FOLDER --out DIR [--pipelines portrait anitalker] [--size 512]
        [--names validation.csv] [--most N] [--set anitalker.renderer_weights=NAME] [--jobs N]

Each photo of FOLDER is enrolled and drawn in the looks of `poses`. DIR/PIPELINE holds a sheet per
photo, all looks with mouth or eyes enlarged, and pages of an overview; DIR/figures.json what
`figures` read off the pixels, shares that keep the bounds of `summary`, and the ten worst by
figure. PNG, so that no compression is taken for the renderer's doing.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from benchmarks.avatars import enrolled
from benchmarks.faces.figures import Described, Figures, measure
from benchmarks.faces.mesh import MeshReader
from benchmarks.faces.poses import POSES, SPEECH
from benchmarks.faces.sheets import overview, resized, sheet, strip
from benchmarks.faces.studio import Studio
from benchmarks.faces.summary import confuse, summarise, table
from pipelines.photo.errors import EnrolmentError
from pipelines.pipeline import System
from pipelines.registry import find_system, known_systems, read_options
from training.portraits.held_out import read_index

PHOTOS = {".jpg", ".jpeg", ".png", ".webp", ".heic", ".avif"}
Options = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Job:
    """One photo through one pipeline."""

    photo: Path
    pipeline: str
    options: Options
    height: int
    out: Path  # folder of the pipeline's sheets

    @property
    def name(self) -> str:
        """Of the photo."""
        return self.photo.stem


@dataclass(frozen=True)
class Done:
    """What came of a job: figures, or the reason why there are none."""

    name: str
    figures: Figures | None = None
    described: Described | None = None
    strip: Image.Image | None = None
    refused: str | None = None


@cache
def _studio(pipeline: str, options: Options, height: int) -> tuple[System, Any, Studio, MeshReader]:
    torch.set_num_threads(1)
    system = find_system(pipeline)
    read = read_options(system, dict(options))
    square = (height, height)
    if square not in system.sizes:
        raise SystemExit(f"{pipeline} draws no {height} x {height}; it has {system.sizes}")
    return system, read, Studio(system, square, read), MeshReader()


def run(job: Job) -> Done:
    """Enrol, draw, measure, and save the sheet of one photo."""
    system, options, studio, reader = _studio(job.pipeline, job.options, job.height)
    try:
        identity = enrolled(system, job.photo, options)
    except EnrolmentError as error:
        return Done(job.name, refused=error.code)
    source = resized(identity.preview, studio.size)
    points = reader.read(source)
    if points is None:
        return Done(job.name, refused="FaceMesh sees no face in the source")
    looks = {name: studio.look(identity, values) for name, values in POSES.items()}
    figures, described = measure(source, looks, studio.play(identity, SPEECH), reader)
    sheet(source, looks, points).save(job.out / f"{job.name}.png")
    return Done(job.name, figures, described, strip(source, looks, points, job.name))


def all_done(jobs: Sequence[Job], processes: int) -> Iterator[Done]:
    """Results in the order of `jobs`."""
    if processes == 1:
        yield from map(run, jobs)
        return
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(run, jobs)


def judge(pipeline: str, jobs: Sequence[Job], processes: int) -> dict[str, Any]:
    """All photos through one pipeline: figures by photo, their summary, refusals."""
    figures: dict[str, Figures] = {}
    described: dict[str, Described] = {}
    strips, refused = [], {}
    for n, done in enumerate(all_done(jobs, processes), 1):
        print(f"{pipeline} {n}/{len(jobs)} {done.name} {done.refused or ''}", flush=True)
        if done.figures is None or done.described is None or done.strip is None:
            refused[done.name] = done.refused
            continue
        figures[done.name], described[done.name] = done.figures, done.described
        strips.append(done.strip)
    confuse(figures, described)
    for n, page in enumerate(overview(strips), 1):
        page.save(jobs[0].out / f"_overview_{n:02d}.png")
    summary = summarise(pipeline, figures) if figures else {}
    return {"summary": summary, "refused": refused, "photos": figures}


def find_photos(folder: Path, names: Path | None, most: int | None) -> list[Path]:
    """Pictures of a folder by name, those of an index only if one is given; at most so many,
    spread evenly. SystemExit if there are none."""
    photos = sorted(path for path in folder.iterdir() if path.suffix.lower() in PHOTOS)
    if names is not None:
        wanted = {Path(row["file"]).stem for row in read_index(names)}
        photos = [photo for photo in photos if photo.stem in wanted]
    if not photos:
        raise SystemExit(f"no photos in {folder}")
    count = len(photos) if most is None else min(most, len(photos))
    return [photos[n * len(photos) // count] for n in range(count)]


def options_of(settings: Sequence[str], pipeline: str) -> Options:
    """Those of "PIPELINE.OPTION=VALUE" that are this pipeline's."""
    split = (setting.partition("=") for setting in settings)
    prefix = f"{pipeline}."
    return tuple((k.removeprefix(prefix), v) for k, _, v in split if k.startswith(prefix))


def main(argv: Sequence[str] | None = None) -> int:
    """Write sheets and figures, and print the summaries."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faces")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pipelines", nargs="+", default=["portrait"], choices=known_systems())
    parser.add_argument("--size", type=int, default=512, help="pixels of a square frame")
    parser.add_argument("--names", type=Path, help="index whose files alone are taken")
    parser.add_argument("--most", type=int, help="so many photos, spread over the folder")
    parser.add_argument("--set", action="append", default=[], metavar="PIPELINE.OPTION=VALUE")
    parser.add_argument("--jobs", type=int, default=1)
    args = parser.parse_args(argv)
    photos = find_photos(args.folder, args.names, args.most)
    found: dict[str, Any] = {}
    for pipeline in args.pipelines:
        out = args.out / pipeline
        out.mkdir(parents=True, exist_ok=True)
        options = options_of(args.set, pipeline)
        jobs = [Job(photo, pipeline, options, args.size, out) for photo in photos]
        found[pipeline] = judge(pipeline, jobs, args.jobs)
    about = {"size": args.size, "mediapipe": metadata.version("mediapipe")}
    kept = json.dumps(about | found, indent=1) + "\n"
    (args.out / "figures.json").write_text(kept, encoding="utf-8")
    for pipeline, result in found.items():
        if result["summary"]:
            print(table(pipeline, result["summary"]))
        print(f"refused: {result['refused'] or 'none'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
