import { ClientError } from "./client/errors.js";

/** In order of preference: plays everywhere first. */
const FORMATS = [
  { mimeType: "video/mp4;codecs=avc1.42E01F,mp4a.40.2", extension: "mp4" },
  { mimeType: "video/webm;codecs=vp8,opus", extension: "webm" },
  { mimeType: "video/webm", extension: "webm" },
  { mimeType: "video/mp4", extension: "mp4" },
];
const SLICE_MS = 1000;
const VIDEO_BITS_PER_SECOND = 4_000_000;

/** Records the received picture and voice and hands them over as a file. */
export class Recorder {
  #recorder;
  #format;
  /** @type {Blob[]} */ #parts = [];
  #beganMs = performance.now();

  /** @param {MediaStream} stream @param {string} name of the avatar, for the file name */
  constructor(stream, name) {
    const format =
      globalThis.MediaRecorder && FORMATS.find((f) => MediaRecorder.isTypeSupported(f.mimeType));
    if (!format) throw new ClientError("recording_unsupported");
    this.name = name;
    this.#format = format;
    this.#recorder = new MediaRecorder(stream, {
      mimeType: format.mimeType,
      videoBitsPerSecond: VIDEO_BITS_PER_SECOND,
    });
    this.#recorder.ondataavailable = (e) => e.data.size && this.#parts.push(e.data);
    this.#recorder.start(SLICE_MS);
  }

  get elapsedS() {
    return (performance.now() - this.#beganMs) / 1000;
  }

  /** Ends the recording and saves it. @returns {Promise<string>} the file's name */
  async save() {
    if (this.#recorder.state !== "inactive") {
      const stopped = new Promise((resolve) =>
        this.#recorder.addEventListener("stop", resolve, { once: true }),
      );
      this.#recorder.stop();
      await stopped;
    }
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(this.#parts, { type: this.#format.mimeType }));
    link.download = this.#fileName();
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    this.destroy();
    return link.download;
  }

  destroy() {
    this.#recorder.ondataavailable = null;
    if (this.#recorder.state !== "inactive") this.#recorder.stop();
    this.#parts = [];
  }

  /** Says by its name that the recording is synthetic. */
  #fileName() {
    const stamp = new Date().toISOString().slice(0, 19).replace("T", " ").replace(/:/g, "-");
    return `AI avatar ${this.name} ${stamp}.${this.#format.extension}`;
  }
}
