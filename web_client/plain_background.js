/**
 * Finds a plain background: a smooth surface through the colours around the edges of a picture. What
 * hangs together with the edges and looks like it is background; a shirt of the same colour does not
 * hang together with them.
 */

/** @typedef {import("./matte.js").Pixels} Pixels */

/** Greatest difference, of 255 in any channel, of what still is background. */
const LIKE = 13;
/** Of a background that is not plain: mean difference from the surface around the edges. */
const ROUGH = 9;
/** Least share of the edges that must be background. */
const FREE_EDGE = 0.4;
const TERMS = 10;

/**
 * @param {Pixels} small the picture, its longer side CELLS
 * @param {Pixels} picture
 * @returns {import("./matte.js").Scene | null} null if it is not plain
 */
export function plainScene(small, picture) {
  const surface = findSurface(small);
  return (
    surface && {
      small: spread(surface, small.width, small.height),
      whole: spread(surface, picture.width, picture.height),
      matte: null,
      inside: null,
      region: null,
      kinds: null,
    }
  );
}

/** @param {Pixels} small */
function findSurface(small) {
  let chosen = new Uint8Array(small.width * small.height);
  const seeds = edges(small);
  for (const cell of seeds) chosen[cell] = 1;
  let surface = fit(small, chosen);
  for (let round = 0; round < 4; round++) {
    const unlike = differences(small, spread(surface, small.width, small.height));
    if (round === 0) {
      // Hair that reaches the edge pulls the surface: start from what is nearest to it.
      const sorted = seeds.map((cell) => unlike[cell]).sort((a, b) => a - b);
      const limit = Math.max(LIKE, sorted[Math.floor(sorted.length * FREE_EDGE)]);
      chosen = chosen.map((is, cell) => (is && unlike[cell] <= limit ? 1 : 0));
    } else chosen = connected(small, unlike);
    surface = fit(small, chosen);
  }
  const unlike = differences(small, spread(surface, small.width, small.height));
  const free = seeds.filter((cell) => unlike[cell] < LIKE);
  const mean = free.reduce((sum, cell) => sum + unlike[cell], 0) / Math.max(1, free.length);
  return free.length < FREE_EDGE * seeds.length || mean > ROUGH ? null : surface;
}

/** Greatest difference of any channel. @param {Pixels} small @param {Float32Array} behind */
export function differences({ width, height, data }, behind) {
  const found = new Float32Array(width * height);
  for (let i = 0; i < found.length; i++)
    for (let c = 0; c < 3; c++)
      found[i] = Math.max(found[i], Math.abs(data[4 * i + c] - behind[3 * i + c]));
  return found;
}

/**
 * Cells like the background that hang together with the edges.
 * @param {Pixels} small @param {Float32Array} unlike
 */
export function connected(small, unlike) {
  const { width, height } = small;
  const region = new Uint8Array(width * height);
  const open = edges(small).filter((cell) => unlike[cell] < LIKE);
  for (const cell of open) region[cell] = 1;
  while (open.length) {
    const cell = /** @type {number} */ (open.pop());
    const x = cell % width;
    const beside = [x > 0 ? cell - 1 : -1, x < width - 1 ? cell + 1 : -1];
    for (const next of [...beside, cell - width, cell + width]) {
      if (next < 0 || next >= region.length || region[next] || unlike[next] >= LIKE) continue;
      region[next] = 1;
      open.push(next);
    }
  }
  return region;
}

/** Cells of the upper edge and the upper halves of both sides. @param {Pixels} small */
function edges({ width, height }) {
  const cells = [];
  for (let x = 0; x < width; x++) cells.push(x);
  for (let y = 1; y < height * 0.55; y++) cells.push(y * width, y * width + width - 1);
  return cells;
}

/** Of a cubic surface. @param {number} x @param {number} y both in -1..1 */
function terms(x, y) {
  return [1, x, y, x * x, x * y, y * y, x * x * x, x * x * y, x * y * y, y * y * y];
}

/** @param {number} i @param {number} count */
const along = (i, count) => ((i + 0.5) / count) * 2 - 1;

/**
 * Coefficients [3][TERMS] of the surface through the chosen cells.
 * @param {Pixels} small @param {Uint8Array} chosen
 */
function fit({ width, height, data }, chosen) {
  const normal = Array.from({ length: TERMS }, () => new Float64Array(TERMS + 3));
  for (let cell = 0; cell < chosen.length; cell++) {
    if (!chosen[cell]) continue;
    const at = terms(along(cell % width, width), along(Math.floor(cell / width), height));
    for (let i = 0; i < TERMS; i++) {
      for (let j = 0; j < TERMS; j++) normal[i][j] += at[i] * at[j];
      for (let c = 0; c < 3; c++) normal[i][TERMS + c] += at[i] * data[4 * cell + c];
    }
  }
  for (let i = 0; i < TERMS; i++) normal[i][i] += 1e-3; // where a few cells say too little
  return solve(normal);
}

/** Gauss-Jordan. @param {Float64Array[]} rows [TERMS][TERMS + 3] */
function solve(rows) {
  for (let i = 0; i < TERMS; i++) {
    let best = i;
    for (let r = i + 1; r < TERMS; r++)
      if (Math.abs(rows[r][i]) > Math.abs(rows[best][i])) best = r;
    [rows[i], rows[best]] = [rows[best], rows[i]];
    for (let r = 0; r < TERMS; r++) {
      if (r === i) continue;
      const share = rows[r][i] / rows[i][i];
      for (let c = i; c < TERMS + 3; c++) rows[r][c] -= share * rows[i][c];
    }
  }
  return [0, 1, 2].map((c) => rows.map((row, i) => row[TERMS + c] / row[i]));
}

/** @param {number[][]} surface @param {number} width @param {number} height */
function spread(surface, width, height) {
  const found = new Float32Array(width * height * 3);
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const t = terms(along(x, width), along(y, height));
      for (const channel of surface) {
        let sum = 0;
        for (let i = 0; i < TERMS; i++) sum += channel[i] * t[i];
        found[at++] = sum;
      }
    }
  }
  return found;
}
