/** The canvas is small and scaled up by the browser, which also makes it soft. */
const LONG_SIDE_PX = 160;
/** Outer share of the picture whose colours go on to the sides. */
const EDGE = 0.03;
/** Share of the picture over which it fades into its surroundings. */
const SEAM = 0.09;

/**
 * Fills the stage around the square picture with the picture's own edges, so that it seems to go on.
 *
 * Drawn once per face or size into a small canvas over the picture: blur filters and masks would be
 * applied again to every video frame, at several times the cost of the video itself.
 */
export class Backdrop {
  /** @type {HTMLImageElement | null} */ #image = null;
  #resize;

  /** @param {HTMLCanvasElement} canvas covers the stage */
  constructor(canvas) {
    this.canvas = canvas;
    this.#resize = new ResizeObserver(() => this.#draw());
    this.#resize.observe(canvas);
  }

  /** @param {string} url of the face's still picture */
  async show(url) {
    const image = new Image();
    image.src = url;
    this.#image = image;
    try {
      await image.decode();
    } catch {
      return; // a broken picture: the stage stays plain
    }
    if (image === this.#image) this.#draw();
  }

  destroy() {
    this.#resize.disconnect();
    this.#image = null;
  }

  #draw() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const image = this.#image;
    if (!image?.naturalWidth || !width || !height) return;
    const scale = LONG_SIDE_PX / Math.max(width, height);
    const wide = width >= height;
    this.canvas.width = Math.max(1, Math.round(width * scale));
    this.canvas.height = Math.max(1, Math.round(height * scale));
    const context = this.canvas.getContext("2d");
    if (!context) return;
    if (!wide) context.transform(0, 1, 1, 0, 0, 0); // draw along the long side in either case
    const [along, across] = wide
      ? [this.canvas.width, this.canvas.height]
      : [this.canvas.height, this.canvas.width];
    for (const side of ["near", "far"])
      this.#drawSide(context, image, wide, side === "far", along, across);
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {HTMLImageElement} image square
   * @param {boolean} wide whether the free space is left and right
   * @param {boolean} far right or bottom
   * @param {number} along @param {number} across canvas pixels along and across the long side
   */
  #drawSide(context, image, wide, far, along, across) {
    const free = (along - across) / 2;
    const seam = across * SEAM;
    if (free < 1) return;
    const side = document.createElement("canvas");
    side.width = Math.ceil(free + seam);
    side.height = Math.ceil(across);
    const pen = /** @type {CanvasRenderingContext2D} */ (side.getContext("2d"));
    pen.imageSmoothingQuality = "high";
    const size = image.naturalWidth;
    const from = far ? size * (1 - EDGE) : 0;
    if (wide)
      pen.drawImage(
        image,
        from,
        0,
        size * EDGE,
        image.naturalHeight,
        0,
        0,
        side.width,
        side.height,
      );
    else {
      pen.setTransform(0, 1, 1, 0, 0, 0);
      pen.drawImage(
        image,
        0,
        from,
        size,
        image.naturalHeight * EDGE,
        0,
        0,
        side.height,
        side.width,
      );
      pen.resetTransform();
    }
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
