"""Motion codes of our generator beside those of the mapped motion, against the reference motion.

    python -m benchmarks.motion.codes [--passes 1 2 4] [--sentences 10] [--pixels 4]

Held-out voices speak; the reference is the training's motion of their phones, through the map. With
head and eyes held still (all controls but expression at 0):

    explained     share of the reference codes' variance in speech, all dimensions together
    r             Pearson r with the reference, mean of the dimensions by their variance
    parting, ...  r of what a linear reader, fitted to reference codes, reads from codes: the lips'
                  parting, rounding, spread; lag in frames at the best r of the parting
    closed        parting read at p, b, m less the least that the reference has there, over the
                  parting's deviation; 0 is as closed as the reference
    change        frame-to-frame change in speech, over the reference's
    still         deviation of codes in silence over that in speech

and with everything moving, over minutes of talk among silence: change as a share of the mapped
motion's, the largest distance of a minute's mean code from that of all, over the codes' deviation,
and the median time of a frame with features. `--pixels` also draws so many sentences of each voice
with the renderer and reads the lips as `benchmarks.lips` does.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from benchmarks.avatars import enrolled, find_photo, size_of
from benchmarks.lips.figures import correlation, follow, in_speech
from benchmarks.lips.measure import figures as lip_figures
from benchmarks.lips.run import Bench, clips_of
from benchmarks.lips.sounds import Clip
from benchmarks.motion.hops import activity, cost_ms
from benchmarks.motion.sounds import conversation
from benchmarks.timing import write_result
from pipelines.anitalker.batched import BatchedNetwork
from pipelines.anitalker.config import GENERATED, MAPPED, AniTalkerOptions
from pipelines.anitalker.generated_codes import GeneratedCodes
from pipelines.anitalker.mapped_codes import MappedCodes, MotionToCode
from pipelines.anitalker.render import AniTalkerRenderer
from pipelines.anitalker.system import SYSTEM as ANITALKER
from pipelines.anitalker.weights import load_generator, load_map, load_renderer
from pipelines.audio.mel import LogMel, MelConfig
from pipelines.composed import ComposedPipeline
from pipelines.diffusion.schedule import flow_levels
from pipelines.motion.controls import control_row
from pipelines.motion.diffusion import load_motion
from pipelines.motion.lip_closure import parting_weights
from pipelines.motion.model import MotionModel
from pipelines.motion.space import BLENDSHAPES, MOTION_DIM, MOTION_INDEX
from pipelines.pipeline import HOP_SAMPLES
from training.motion.articulation import FPS
from training.motion.performance import perform
from training.speech.phones import BILABIALS
from training.speech.sentences import HELD_OUT
from training.speech.synthesis import HELD_OUT_VOICES, missing

Array = NDArray[np.float64]

_STILL = control_row(head_motion=0.0, gaze=0.0, blink_rate=0.0)
_READ = {"rounding": ("mouthPucker", "mouthFunnel"), "spread": ("mouthStretchLeft",)}
_SETTLED = 15  # frames of silence before a sentence, less what lips need to rest and to prepare
_TIMES: dict[int, tuple[float, ...]] = {  # by number of passes; denser where motion takes shape
    1: (1.0,),
    2: (1.0, 0.5),
    4: (1.0, 0.6, 0.3, 0.1),
    8: (1.0, 0.85, 0.7, 0.5, 0.3, 0.15, 0.07, 0.03),
}
_RIDGE = 1e-4  # of each input's energy


def models(passes: Sequence[int], generator: str, to_code: MotionToCode) -> dict[str, MotionModel]:
    """The mapped motion, and the generator with each number of passes."""
    mel, network = MelConfig(), load_generator(generator)
    found: dict[str, MotionModel] = {"mapped": MappedCodes(load_motion(), to_code)}
    for count in passes:
        name = f"generator, {count} pass{'es' * (count > 1)}"
        found[name] = GeneratedCodes(mel, network, levels=flow_levels(_TIMES[count]))
    return found


@torch.inference_mode()
def codes_of(model: MotionModel, clips: Sequence[Clip], controls: Tensor) -> list[Array]:
    """Changes of code [frames, D] of each clip, without the model's delay."""
    mel = LogMel(model.mel)
    delay = (mel.look_ahead + model.look_ahead) // HOP_SAMPLES
    samples = np.zeros((len(clips), (max(c.frames for c in clips) + delay) * HOP_SAMPLES))
    for row, clip in zip(samples, clips, strict=True):
        row[: len(clip.samples)] = clip.samples
    heard = mel(torch.from_numpy(samples).float())
    speech = torch.from_numpy(np.array([activity(row) for row in samples.astype(np.float32)]))
    codes = model(heard, speech, controls.expand(len(clips), -1))
    if isinstance(model, MappedCodes):
        codes = codes - model.to_code.rest()
    return [c[delay : delay + clip.frames].double().numpy() for c, clip in zip(codes, clips,
            strict=True)]  # fmt: skip


def reference_of(clip: Clip, seed: int) -> Tensor:
    """Motion of mouth and brows as in training, [frames, MOTION_DIM]."""
    motion = torch.from_numpy(perform(clip.phones, clip.samples, clip.frames, seed))
    motion[:, len(BLENDSHAPES) :] = 0.0
    return motion


class Reference:
    """Codes of the reference motion, and a linear reader of the mouth from codes."""

    def __init__(self, clips: Sequence[Clip], to_code: MotionToCode) -> None:
        self.clips = clips
        motion = [reference_of(clip, n) for n, clip in enumerate(clips)]
        with torch.no_grad():
            self.codes = [to_code.moved(m).double().numpy() for m in motion]
        shown = torch.zeros(MOTION_DIM, 1 + len(_READ))
        shown[:, 0] = parting_weights()
        for column, names in enumerate(_READ.values(), 1):
            shown[[MOTION_INDEX[name] for name in names], column] = 1.0
        self.mouth = [(m @ shown).double().numpy() for m in motion]
        self.talking = [in_speech(clip.phones, clip.frames) for clip in clips]
        x, y = _inputs(np.concatenate(self.codes)), np.concatenate(self.mouth)
        energy = x.T @ x
        self.reader = np.linalg.solve(energy + _RIDGE * np.diag(np.diag(energy)), x.T @ y)

    def read(self, codes: Array) -> Array:
        """Parting, rounding, spread: [frames, 3]."""
        return np.asarray(_inputs(codes) @ self.reader)

    def figures(self, codes: Sequence[Array]) -> dict[str, Any]:
        """Agreement of codes with those of the reference; see the module."""
        pairs = list(zip(codes, self.codes, self.talking, strict=True))
        found, wanted = (np.concatenate([p[n][p[2]] for p in pairs]) for n in (0, 1))
        spread = wanted.var(0)
        each = [correlation(a, b) for a, b in zip(found.T, wanted.T, strict=True)]
        seen = np.concatenate([self.read(c)[t] for c, t in zip(codes, self.talking, strict=True)])
        true = np.concatenate([m[t] for m, t in zip(self.mouth, self.talking, strict=True)])
        row: dict[str, Any] = {
            "explained": 1.0 - float(np.square(found - wanted).mean(0).sum() / spread.sum()),
            "r": float(np.average(each, weights=spread)),
            "r_by_dimension": [round(r, 3) for r in each],
        }
        for n, name in enumerate(("parting", *_READ)):
            row[name] = correlation(seen[:, n], true[:, n])
        row["lag"] = float(np.mean([self._lag(c, n) for n, c in enumerate(codes)]))
        row["closed"] = self._closed(codes, float(true[:, 0].std()))
        row["change"] = _change([p[0][p[2]] for p in pairs]) / _change([p[1][p[2]] for p in pairs])
        silent = float(np.mean([_spread(c[2:_SETTLED]) for c in codes]))
        row["still"] = silent / _spread(found)
        return {k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}

    def _lag(self, codes: Array, n: int) -> int:
        where = self.talking[n]
        return follow(self.read(codes)[where, 0], self.mouth[n][where, 0]).lag

    def _closed(self, codes: Sequence[Array], scale: float) -> float:
        """How much wider than the reference the lips are where p, b, m want them shut."""
        found = []
        for mine, own, clip in zip(codes, self.codes, self.clips, strict=True):
            parting, wanted = self.read(mine)[:, 0], self.read(own)[:, 0]
            for phone in clip.phones:
                if phone.label in BILABIALS:
                    part = slice(max(int(phone.middle_s * FPS) - 2, 0), None)
                    found.append(parting[part][:5].min() - wanted[part][:5].min())
        return float(np.mean(found)) / scale


def _inputs(codes: Array) -> Array:
    """Codes, their squares and 1: what the reader is linear in."""
    return np.concatenate([codes, np.square(codes), np.ones((len(codes), 1))], 1)


def _change(parts: Sequence[Array]) -> float:
    steps = np.concatenate([np.linalg.norm(np.diff(part, axis=0), axis=1) for part in parts])
    return float(steps.mean())


def _spread(codes: Array) -> float:
    return float(np.sqrt(codes.var(0).sum()))


def drift(model: MotionModel, clip: Clip, minute_s: int = 60) -> dict[str, float]:
    """Change per frame, deviation, and how far minutes lie apart, of a long stream."""
    (codes,) = codes_of(model, [clip], control_row())
    size = minute_s * FPS
    minutes = codes[: len(codes) // size * size].reshape(-1, size, codes.shape[1])
    away = np.linalg.norm(minutes.mean(1) - codes.mean(0), axis=1)
    return {
        "change_per_frame": round(_change([codes]), 3),
        "deviation": round(_spread(codes), 3),
        "farthest_minute": round(float(away.max()) / _spread(codes), 3),
        "minutes": len(minutes),
    }


def pixels(model: MotionModel, clips: Sequence[Clip], avatar: str, renderer: str) -> dict[str, Any]:
    """Lips of these clips, drawn by that renderer."""
    options = AniTalkerOptions(renderer_weights=renderer)
    identity = enrolled(ANITALKER, find_photo(avatar), options)
    network, sizes = BatchedNetwork(load_renderer(renderer), 1), ANITALKER.sizes
    pipeline = ComposedPipeline(1, sizes, model, AniTalkerRenderer(network, sizes))
    bench = Bench(pipeline, identity, size_of(ANITALKER, None))
    return lip_figures([(bench.gaps(clip.samples), clip) for clip in tqdm(clips, leave=False)])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks.motion.codes",
        description="codes of our generator, and of the mapped motion",
    )
    parser.add_argument("--generator", default=GENERATED, help="name of weights")
    parser.add_argument("--map", default=MAPPED, help="name of weights")
    parser.add_argument(
        "--renderer", default=AniTalkerOptions().renderer_weights, help="weights for --pixels"
    )
    parser.add_argument("--passes", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--sentences", type=int, default=10, help="of each voice")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--pixels", type=int, default=0, help="sentences of each voice to draw")
    parser.add_argument(
        "--avatar", default="amara", help="one of the cast, or an image, to draw on"
    )
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    able = [voice for voice in HELD_OUT_VOICES if missing(voice) is None]
    if not able:
        raise SystemExit(f"no voice can speak: {missing(HELD_OUT_VOICES[0])}")
    to_code = load_map(args.map)
    clips = [c for voice in able for c in clips_of(voice, HELD_OUT[: args.sentences])]
    reference, long = Reference(clips, to_code), conversation(args.minutes * 60.0, able)
    rows = {"reference": reference.figures(reference.codes)}
    for name, model in models(args.passes, args.generator, to_code).items():
        rows[name] = reference.figures(codes_of(model, clips, _STILL))
        rows[name] |= drift(model, long)
        rows[name]["ms_per_frame"] = round(cost_ms(model, clips[0].samples), 2)
        if args.pixels:
            drawn = [c for voice in able for c in clips_of(voice, HELD_OUT[: args.pixels])]
            rows[name]["pixels"] = pixels(model, drawn, args.avatar, args.renderer)
        print(name, {k: v for k, v in rows[name].items() if k != "r_by_dimension"})
    found = {"voices": able, "sentences": args.sentences, "rows": rows}
    print("written to", write_result("code_motion", found))


if __name__ == "__main__":
    main()
