/**
 * Cuts a face out of a picture: pure functions of pixels.
 *
 * The colour of the background behind every pixel is known: from the server, or as a smooth surface
 * through the colours around the edges of a picture with a plain background. Between background and
 * face a pixel is a mixture: its share of the face is how far it lies on the way from the one colour
 * to the other, and the background's share is then taken out of it exactly. That leaves no fringes.
 */
import { connected, differences } from "./plain_background.js";

/** Longer side of the small picture that regions are found in. */
export const CELLS = 96;
/** A background differs by no more, where nothing else is near: a strand of hair does. */
const SAME = 6;
/** Cells around a boundary that are looked at pixel by pixel: how far a head moves, where the boundary
 * is known at rest only. */
const BAND = 2;
const MOTION = 5;
/** So far inside the boundary at rest, only what is very like the background is taken for it. */
const INSIDE = 1;
const DOUBT = 3;
/** Cells from the background over which a soft edge goes. */
const BESIDE = 1;
/** Cells around one whose face colours count for it. */
const REACH = 6;
const FACE = 0;
const EDGE = 1;
const BACKGROUND = 2;

/** @typedef {{width: number, height: number, data: Uint8ClampedArray}} Pixels */
/**
 * @typedef {{
 *   small: Float32Array, whole: Float32Array, matte: Uint8ClampedArray | null,
 *   inside: Uint8Array | null, region: Uint8Array | null, kinds: Uint8Array | null,
 * }} Scene colours of the background (3 for each cell and pixel); where the server knows it the matte
 *   at rest (RGBA), and by cell: well inside it, outside of it, and what a cell can be
 */

/**
 * The scene of a known background.
 * @param {{whole: Pixels, small: Pixels}} behind
 * @param {{whole: Pixels, small: Pixels}} matte of the face at rest, grey
 * @returns {Scene}
 */
export function knownScene(behind, matte) {
  const { width, height, data } = matte.small;
  const cells = width * height;
  const kinds = new Uint8Array(cells);
  const inside = new Uint8Array(cells);
  const region = new Uint8Array(cells);
  for (let cell = 0; cell < cells; cell++) {
    const [low, high] = range(matte.small, cell, MOTION);
    kinds[cell] = low > 247 ? FACE : high < 8 ? BACKGROUND : EDGE;
    inside[cell] = range(matte.small, cell, INSIDE)[0] > 230 ? 1 : 0;
    region[cell] = data[4 * cell] < 40 ? 1 : 0;
  }
  return {
    small: colours(behind.small),
    whole: colours(behind.whole),
    matte: matte.whole.data,
    inside,
    region,
    kinds,
  };
}

/** @param {Pixels} pixels */
function colours({ data }) {
  const found = new Float32Array((data.length / 4) * 3);
  for (let i = 0, at = 0; i < data.length; i += 4)
    for (let c = 0; c < 3; c++) found[at++] = data[i + c];
  return found;
}

/** Least and greatest grey around a cell. @param {Pixels} small @param {number} cell @param {number} reach */
function range({ width, height, data }, cell, reach) {
  let [low, high] = [255, 0];
  const [cx, cy] = [cell % width, Math.floor(cell / width)];
  for (let y = Math.max(0, cy - reach); y <= Math.min(height - 1, cy + reach); y++) {
    for (let x = Math.max(0, cx - reach); x <= Math.min(width - 1, cx + reach); x++) {
      const grey = data[4 * (y * width + x)];
      low = Math.min(low, grey);
      high = Math.max(high, grey);
    }
  }
  return [low, high];
}

/**
 * Takes the background out of a picture, in place.
 * @param {Pixels} picture
 * @param {Pixels} small the same picture, its longer side CELLS
 * @param {Scene} scene
 * @param {[number, number, number] | null} key what comes in its place; null: nothing (alpha)
 */
export function takeOut(picture, small, scene, key) {
  const unlike = differences(small, scene.small);
  const region = scene.region ?? connected(small, unlike);
  const deep = scene.inside && within(small, unlike, scene.inside);
  const { width, height } = small;
  const face = new Float64Array(4);
  for (let cell = 0; cell < width * height; cell++) {
    const [cx, cy] = [cell % width, Math.floor(cell / width)];
    const kind = scene.kinds ? scene.kinds[cell] : kindOf(cx, cy, small, region, unlike);
    if (kind === FACE) continue;
    if (kind === EDGE) faceNear(cx, cy, small, region, unlike, face);
    const bottom = Math.round(((cy + 1) * picture.height) / height);
    const right = Math.round(((cx + 1) * picture.width) / width);
    for (let y = Math.round((cy * picture.height) / height); y < bottom; y++) {
      for (let x = Math.round((cx * picture.width) / width); x < right; x++) {
        const pixel = y * picture.width + x;
        const share =
          kind === EDGE ? shareOf(picture.data, scene, pixel, face, deep?.[cell] ?? 0) : 0;
        if (share < 1) put(picture.data, scene.whole, pixel, share, key);
      }
    }
  }
}

/**
 * Cells with no background beside them that is seen now. There little will do to be taken for face: a
 * light beard is no mixture of dark skin and a light wall. Beside the background it is the other way
 * round, or a head that has moved would leave a fringe.
 * @param {Pixels} small @param {Float32Array} unlike @param {Uint8Array} inside at rest
 */
function within(small, unlike, inside) {
  const { width, height } = small;
  const free = connected(small, unlike.map((value, cell) => (inside[cell] ? DOUBT * value : value)));
  const found = new Uint8Array(free.length).fill(1);
  for (let cell = 0; cell < free.length; cell++) {
    if (!free[cell]) continue;
    const [cx, cy] = [cell % width, Math.floor(cell / width)];
    for (let y = Math.max(0, cy - BESIDE); y <= Math.min(height - 1, cy + BESIDE); y++)
      found.fill(0, y * width + Math.max(0, cx - BESIDE), y * width + Math.min(width, cx + BESIDE + 1));
  }
  return found;
}

/** @param {number} cx @param {number} cy @param {Pixels} small @param {Uint8Array} region @param {Float32Array} unlike */
function kindOf(cx, cy, { width, height }, region, unlike) {
  const here = region[cy * width + cx];
  for (let y = Math.max(0, cy - BAND); y <= Math.min(height - 1, cy + BAND); y++) {
    for (let x = Math.max(0, cx - BAND); x <= Math.min(width - 1, cx + BAND); x++) {
      const cell = y * width + x;
      if (region[cell] !== here || (here && unlike[cell] > SAME)) return EDGE;
    }
  }
  return here ? BACKGROUND : FACE;
}

/**
 * The face's colour near a cell, its most distinct parts above all.
 * @param {number} cx @param {number} cy @param {Pixels} small @param {Uint8Array} region
 * @param {Float32Array} unlike @param {Float64Array} face gets red, green, blue and their weight
 */
function faceNear(cx, cy, { width, height, data }, region, unlike, face) {
  face.fill(0);
  for (let y = Math.max(0, cy - REACH); y <= Math.min(height - 1, cy + REACH); y++) {
    for (let x = Math.max(0, cx - REACH); x <= Math.min(width - 1, cx + REACH); x++) {
      const cell = y * width + x;
      if (region[cell]) continue;
      const counts = unlike[cell] ** 2 / (1 + (x - cx) ** 2 + (y - cy) ** 2);
      for (let c = 0; c < 3; c++) face[c] += counts * data[4 * cell + c];
      face[3] += counts;
    }
  }
  if (face[3] > 0) for (let c = 0; c < 3; c++) face[c] /= face[3];
}

/** @param {number} x @param {number} low @param {number} high */
function smoothly(x, low, high) {
  const t = Math.min(1, Math.max(0, (x - low) / (high - low)));
  return t * t * (3 - 2 * t);
}

/**
 * How much of a pixel is face, 0..1.
 * @param {Uint8ClampedArray} data @param {Scene} scene @param {number} pixel
 * @param {Float64Array} face @param {number} deep
 */
function shareOf(data, { whole, matte }, pixel, face, deep) {
  const [p, b] = [4 * pixel, 3 * pixel];
  const red = data[p] - whole[b];
  const green = data[p + 1] - whole[b + 1];
  const blue = data[p + 2] - whole[b + 2];
  const off = Math.sqrt(red * red + green * green + blue * blue);
  if (!face[3]) return smoothly(off, 12, 36);
  const toRed = face[0] - whole[b];
  const toGreen = face[1] - whole[b + 1];
  const toBlue = face[2] - whole[b + 2];
  const length2 = Math.max(1, toRed * toRed + toGreen * toGreen + toBlue * toBlue);
  const along = (red * toRed + green * toGreen + blue * toBlue) / length2;
  const beside = Math.sqrt(Math.max(0, off * off - along * along * length2));
  const length = Math.sqrt(length2);
  const noise = Math.min(0.5, 9 / length);
  let share = Math.min(1, Math.max(0, (along - noise) / (0.9 - noise)));
  if (matte) {
    const alike = 1 - smoothly(length, 20, 60); // then only the matte can tell
    share += alike * (matte[p] / 255 - share);
  }
  // What lies beside the way is no mixture of the two: an earring, a collar.
  const other = deep ? smoothly(beside, 10, 26) : smoothly(beside, 22, 55);
  return Math.max(share, other, deep && smoothly(off, 5, 12));
}

/**
 * A pixel becomes what it would be before `key`.
 * @param {Uint8ClampedArray} data @param {Float32Array} whole @param {number} pixel
 * @param {number} share of it that is face @param {[number, number, number] | null} key
 */
function put(data, whole, pixel, share, key) {
  const [p, b] = [4 * pixel, 3 * pixel];
  for (let c = 0; c < 3; c++) {
    if (share === 0) data[p + c] = key ? key[c] : 0;
    else if (key) data[p + c] += (1 - share) * (key[c] - whole[b + c]);
    else data[p + c] = whole[b + c] + (data[p + c] - whole[b + c]) / share;
  }
  if (!key) data[p + 3] = 255 * share;
}
