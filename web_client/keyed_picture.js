import { CELLS, knownScene, takeOut } from "./matte.js";
import { plainScene } from "./plain_background.js";

/** The scene is made anew after so many pictures: the face may have changed. */
const LOOK_AGAIN = 100;

/**
 * Shows a video without its background, on a canvas over it. WebRTC carries no transparency, so the
 * background is taken out here, picture by picture.
 */
export class KeyedPicture {
  /** @type {"known" | "plain" | "none"} where the background is known from; none: it stays */ by = "none";
  #canvas = document.createElement("canvas");
  #small = document.createElement("canvas");
  /** @type {import("./matte.js").Scene | null} */ #scene = null;
  #count = 0;
  #request = 0;
  #ended = false;
  #asking = false;
  #tag = "";

  /**
   * @param {HTMLVideoElement} video
   * @param {[number, number, number] | null} key the new background, null for none
   */
  constructor(video, key) {
    this.video = video;
    this.key = key;
    /** Asks the server for what is behind the face. @type {() => Promise<Response | null>} */
    this.ask = async () => null;
    this.#canvas.id = "keyed";
    this.#canvas.setAttribute("aria-hidden", "true");
    video.after(this.#canvas);
    this.#next();
  }

  destroy() {
    this.#ended = true;
    this.video.cancelVideoFrameCallback(this.#request);
    this.#canvas.remove();
  }

  #next() {
    this.#request = this.video.requestVideoFrameCallback(() => {
      this.#draw();
      if (!this.#ended) this.#next();
    });
  }

  #draw() {
    const { videoWidth: width, videoHeight: height } = this.video;
    if (!width || !height) return;
    const picture = pixels(this.#canvas, this.video, width, height);
    const small = pixels(this.#small, this.video, ...cells(width, height));
    const fits = this.#scene?.whole.length === 3 * width * height;
    if (!fits) this.#scene = null;
    if (!fits || this.#count % LOOK_AGAIN === 0) this.#look(small, picture);
    this.#count += 1;
    if (!this.#scene) return; // it stays as it is
    takeOut(picture, small, this.#scene, this.key);
    this.#canvas.getContext("2d")?.putImageData(picture, 0, 0);
  }

  /** @param {import("./matte.js").Pixels} small @param {import("./matte.js").Pixels} picture */
  #look(small, picture) {
    if (!this.#scene || this.by !== "known") {
      this.#scene = plainScene(small, picture);
      this.by = this.#scene ? "plain" : "none";
      this.#tag = "";
    }
    if (!this.#asking) this.#askServer(picture.width, picture.height);
  }

  /** @param {number} width @param {number} height of the pictures */
  async #askServer(width, height) {
    this.#asking = true;
    try {
      const answer = await this.ask();
      const tag = answer?.headers.get("ETag") ?? "";
      if (!answer?.ok || this.#ended || tag === this.#tag) return;
      const image = await createImageBitmap(await answer.blob());
      if (width !== this.video.videoWidth || height !== this.video.videoHeight) return;
      const part = (/** @type {number} */ from) => ({
        whole: pixels(document.createElement("canvas"), image, width, height, from),
        small: pixels(document.createElement("canvas"), image, ...cells(width, height), from),
      });
      this.#scene = knownScene(part(0), part(image.height / 2));
      this.by = "known";
      this.#tag = tag;
    } catch {
      // The plain background has to do.
    } finally {
      this.#asking = false;
    }
  }
}

/** @param {number} width @param {number} height @returns {[number, number]} */
function cells(width, height) {
  const scale = CELLS / Math.max(width, height);
  return [Math.round(width * scale), Math.round(height * scale)];
}

/**
 * A picture drawn on a canvas, and its pixels.
 * @param {HTMLCanvasElement} canvas
 * @param {HTMLVideoElement | ImageBitmap} source
 * @param {number} width @param {number} height of the canvas
 * @param {number} [from] of a source that holds two pictures, one below the other: where it begins
 */
function pixels(canvas, source, width, height, from) {
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const pen = /** @type {CanvasRenderingContext2D} */ (
    canvas.getContext("2d", { willReadFrequently: true })
  );
  pen.imageSmoothingQuality = "high";
  if (source instanceof ImageBitmap)
    pen.drawImage(source, 0, from ?? 0, source.width, source.height / 2, 0, 0, width, height);
  else pen.drawImage(source, 0, 0, width, height);
  return pen.getImageData(0, 0, width, height);
}
