/** The canvas is small and scaled up by the browser, which also makes it soft. */
const LONG_SIDE_PX = 160;
/** Outer share of the picture whose colours go on to the sides. */
const EDGE = 0.03;
/** So many of them along an edge: of more, what the photo's edge cuts goes on as stripes. */
const TONES = 9;
/** Over the tones behind a picture. */
const SHADE = "#0b0d0f99";
/** Share of the picture over which it fades into its surroundings. */
const SEAM = 0.09;

/**
 * Fills the stage around the picture: with its own edges, so that a square face seems to go on; in
 * another frame with their tones alone, darker, because what the frame shows is to be seen.
 *
 * Drawn once per face or size into a small canvas over the picture: blur filters and masks would be
 * applied again to every video frame, at several times the cost of the video itself.
 */
export class Backdrop {
  /** What is drawn from. @type {HTMLImageElement | HTMLCanvasElement | null} */ #image = null;
  #resize;

  /** @param {HTMLCanvasElement} canvas covers the stage */
  constructor(canvas) {
    this.canvas = canvas;
    this.#resize = new ResizeObserver(() => this.#draw());
    this.#resize.observe(canvas);
  }

  /** @param {HTMLImageElement} image the face's still picture, loaded */
  show(image) {
    this.#image = image;
    delete this.canvas.dataset.behind;
    this.#draw();
  }

  /** @param {HTMLVideoElement | HTMLImageElement | null} picture whose present look gives the tones */
  showBehind(picture) {
    if (!picture) return;
    const [width, height] = sizeOf(picture);
    const still = document.createElement("canvas");
    const scale = LONG_SIDE_PX / Math.max(width, height);
    still.width = Math.round(width * scale);
    still.height = Math.round(height * scale);
    still.getContext("2d")?.drawImage(picture, 0, 0, still.width, still.height);
    this.#image = still;
    this.canvas.dataset.behind = "";
    this.#draw();
  }

  destroy() {
    this.#resize.disconnect();
    this.#image = null;
  }

  #draw() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const image = this.#image;
    if (!image || !width || !height) return;
    const [imageWidth, imageHeight] = sizeOf(image);
    if (!imageWidth) return;
    const scale = LONG_SIDE_PX / Math.max(width, height);
    const wide = width * imageHeight >= height * imageWidth;
    this.canvas.width = Math.max(1, Math.round(width * scale));
    this.canvas.height = Math.max(1, Math.round(height * scale));
    const context = this.canvas.getContext("2d");
    if (!context) return;
    if ("behind" in this.canvas.dataset) return this.#drawTones(context, image);
    if (!wide) context.transform(0, 1, 1, 0, 0, 0); // draw along the free side in either case
    const [along, across] = wide
      ? [this.canvas.width, this.canvas.height]
      : [this.canvas.height, this.canvas.width];
    const shape = wide ? imageWidth / imageHeight : imageHeight / imageWidth;
    for (const side of ["near", "far"])
      this.#drawSide(context, image, wide, side === "far", along, across, across * shape);
  }

  /**
   * Those of the left and the right edge alone: the head's would stand as a shadow in the middle.
   * @param {CanvasRenderingContext2D} context
   * @param {HTMLImageElement | HTMLCanvasElement} image
   */
  #drawTones(context, image) {
    const [width, height] = sizeOf(image);
    const tones = document.createElement("canvas");
    tones.width = tones.height = 2;
    const pen = /** @type {CanvasRenderingContext2D} */ (tones.getContext("2d"));
    for (const side of [0, 1]) {
      const left = side * width * (1 - EDGE);
      pen.drawImage(shrunk(image, [left, 0, width * EDGE, height], 1, 2), side, 0);
    }
    context.imageSmoothingQuality = "high";
    context.drawImage(tones, 0, 0, this.canvas.width, this.canvas.height);
    context.fillStyle = SHADE;
    context.fillRect(0, 0, this.canvas.width, this.canvas.height);
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {HTMLImageElement | HTMLCanvasElement} image
   * @param {boolean} wide whether the free space is left and right
   * @param {boolean} far right or bottom
   * @param {number} along @param {number} across canvas pixels along the free side, and across it
   * @param {number} filled of those along it, by the picture
   */
  #drawSide(context, image, wide, far, along, across, filled) {
    const free = (along - filled) / 2;
    const seam = across * SEAM;
    if (free < 1) return;
    const side = document.createElement("canvas");
    side.width = Math.ceil(free + seam);
    side.height = Math.ceil(across);
    const pen = /** @type {CanvasRenderingContext2D} */ (side.getContext("2d"));
    pen.imageSmoothingQuality = "high";
    const [width, height] = sizeOf(image);
    const [left, top] = far ? [width * (1 - EDGE), height * (1 - EDGE)] : [0, 0];
    const tones = wide
      ? shrunk(image, [left, 0, width * EDGE, height], 1, TONES)
      : shrunk(image, [0, top, width, height * EDGE], TONES, 1);
    if (!wide) pen.setTransform(0, 1, 1, 0, 0, 0);
    const [long, high] = wide ? [side.width, side.height] : [side.height, side.width];
    pen.drawImage(tones, 0, 0, long, high);
    pen.resetTransform();
    const fade = far
      ? pen.createLinearGradient(seam, 0, 0, 0)
      : pen.createLinearGradient(free, 0, free + seam, 0);
    fade.addColorStop(0, "#0000");
    fade.addColorStop(1, "#000");
    pen.globalCompositeOperation = "destination-out";
    pen.fillStyle = fade;
    pen.fillRect(0, 0, side.width, side.height);
    context.drawImage(side, far ? along - side.width : 0, 0);
  }
}

/**
 * @param {HTMLImageElement | HTMLCanvasElement} image
 * @param {[number, number, number, number]} part left, top, width, height in it
 * @param {number} width @param {number} height of what comes back
 */
function shrunk(image, part, width, height) {
  const small = document.createElement("canvas");
  small.width = width;
  small.height = height;
  const pen = /** @type {CanvasRenderingContext2D} */ (small.getContext("2d"));
  pen.imageSmoothingQuality = "high";
  pen.drawImage(image, ...part, 0, 0, width, height);
  return small;
}

/**
 * @param {HTMLImageElement | HTMLCanvasElement | HTMLVideoElement} picture
 * @returns {[number, number]} in pixels
 */
function sizeOf(picture) {
  if (picture instanceof HTMLImageElement) return [picture.naturalWidth, picture.naturalHeight];
  if (picture instanceof HTMLVideoElement) return [picture.videoWidth, picture.videoHeight];
  return [picture.width, picture.height];
}
