"""The page's cutting out of a face, run by Node on pictures whose true mixture is known."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

CLIENT = Path(__file__).parents[2] / "web_client"
SIDE, CELLS = 192, 96
KEY = np.array([0.0, 255.0, 0.0])
FACE = np.array([150.0, 95.0, 70.0])
DARK = np.array([38.0, 30.0, 28.0])
SCRIPT = """
import { readFileSync, writeFileSync } from "node:fs";
import { knownScene, takeOut } from "CLIENT/matte.js";
import { plainScene } from "CLIENT/plain_background.js";
const load = (name, side) =>
  ({ width: side, height: side, data: new Uint8ClampedArray(readFileSync(name)) });
const both = (name) => ({ whole: load(name, SIDE), small: load(name + "_small", CELLS) });
const picture = both("picture");
const scene = process.argv[2] === "known"
  ? knownScene(both("behind"), both("matte")) : plainScene(picture.small, picture.whole);
if (scene) takeOut(picture.whole, picture.small, scene, JSON.parse(process.argv[3]));
writeFileSync("out", picture.whole.data);
process.stdout.write(String(scene !== null));
"""

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


def disc(x: float, soft: float = 4) -> np.ndarray:
    """Share of a face in each pixel, its middle at `x`: a disc with an edge `soft` pixels wide."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    distance = np.hypot(rows - 110, columns - x)
    return np.clip((60 - distance) / soft + 0.5, 0, 1)[..., None]


def gradient() -> np.ndarray:
    rows, columns = np.mgrid[:SIDE, :SIDE] / SIDE
    return np.stack([200 + 40 * rows, 210 - 30 * columns, 190 + 20 * rows * columns], axis=-1)


def clutter() -> np.ndarray:
    rng = np.random.default_rng(1)
    return np.kron(rng.uniform(0, 255, (12, 12, 3)), np.ones((16, 16, 1)))


def store(folder: Path, name: str, picture: np.ndarray) -> None:
    rgba = np.concatenate([picture, np.full((SIDE, SIDE, 1), 255)], axis=2)
    small = rgba.reshape(CELLS, SIDE // CELLS, CELLS, SIDE // CELLS, 4).mean((1, 3))
    (folder / name).write_bytes(rgba.round().astype(np.uint8).tobytes())
    (folder / f"{name}_small").write_bytes(small.round().astype(np.uint8).tobytes())


def cut_out(
    folder: Path,
    behind: np.ndarray,
    how: str,
    key: object,
    face: np.ndarray = FACE,
    moved: int = 4,
    soft: float = 4,
) -> tuple[bool, np.ndarray]:
    """Whether there was a scene, and the picture without its background."""
    noise = np.random.default_rng(0).normal(0, 1.5, behind.shape)  # of the video's coding
    share = disc(96 + moved, soft)  # the head has
    store(folder, "picture", np.clip(behind + share * (face - behind) + noise, 0, 255))
    store(folder, "behind", behind)
    store(folder, "matte", np.repeat(disc(96) * 255, 3, axis=2))
    script = folder / "cut.mjs"
    text = SCRIPT.replace("CLIENT", str(CLIENT)).replace("SIDE", str(SIDE))
    script.write_text(text.replace("CELLS", str(CELLS)))
    for module in ("matte.js", "plain_background.js"):
        assert (CLIENT / module).is_file()
    command = ["node", "--experimental-default-type=module", str(script), how, json.dumps(key)]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    out = np.frombuffer((folder / "out").read_bytes(), np.uint8).reshape(SIDE, SIDE, 4)
    return run.stdout == "true", out.astype(float)


@pytest.mark.parametrize(
    ("how", "behind"), [("known", gradient()), ("known", clutter()), ("plain", gradient())]
)
def test_before_a_colour_nothing_of_the_background_is_left(tmp_path, how, behind):
    found, out = cut_out(tmp_path, behind, how, KEY.tolist())
    assert found
    share = disc(100)
    wrong = np.abs(out[..., :3] - (KEY + share * (FACE - KEY))).max(axis=2)
    edge = (share[..., 0] > 0) & (share[..., 0] < 1)
    assert np.quantile(wrong[~edge], 0.995) < 10  # what is like the face in a clutter may stay
    assert np.median(wrong[edge]) < 20
    assert np.quantile(wrong[edge], 0.9) < 50


def test_where_the_head_has_gone_away_no_fringe_is_left(tmp_path):
    _, out = cut_out(tmp_path, gradient(), "known", KEY.tolist(), DARK, moved=9, soft=2)
    share = disc(96 + 9, 2)  # a cell wide, as in real pictures of 256 lines
    left = (share[..., 0] > 0) & (share[..., 0] < 1) & (np.mgrid[:SIDE, :SIDE][1] < 90)
    wrong = np.abs(out[..., :3] - (KEY + share * (DARK - KEY))).max(axis=2)
    assert np.median(wrong[left]) < 20
    assert np.quantile(wrong[left], 0.9) < 50


def test_a_beard_as_light_as_the_wall_is_kept(tmp_path):
    rows, columns = np.mgrid[:SIDE, :SIDE]
    depth = 60 - np.hypot(rows - 110, columns - 100)  # pixels from the edge
    face = np.where(depth[..., None] > 16, DARK, [248.0, 240.0, 236.0])
    _, out = cut_out(tmp_path, gradient(), "known", None, face)
    beard = (depth > 5) & (depth < 16)
    assert np.mean(out[beard][:, 3] == 255) > 0.99


def test_before_nothing_the_face_keeps_its_colour_to_the_edge(tmp_path):
    _, out = cut_out(tmp_path, gradient(), "known", None)
    share = disc(100)[..., 0]
    assert np.abs(out[..., 3] / 255 - share).mean() < 0.02
    seen = (out[..., 3] > 60) & (share > 0.2)
    assert np.quantile(np.abs(out[seen][:, :3] - FACE).max(axis=1), 0.98) < 40


def test_before_a_background_that_is_not_plain_all_stays(tmp_path):
    found, out = cut_out(tmp_path, clutter(), "plain", KEY.tolist())
    assert not found
    assert (out[..., 3] == 255).all()
