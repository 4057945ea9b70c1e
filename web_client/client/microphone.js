import { ClientError, fromMicrophone } from "./errors.js";

/** Quietest and loudest level shown, in dB full scale. */
const FLOOR_DB = -58;
const CEILING_DB = -12;

/**
 * The microphone: one open device at a time, its level, its mute.
 *
 * Events: `change` (another track, or none), `devices` (the list changed), `lost` (unplugged).
 */
export class Microphone extends EventTarget {
  /** @type {MediaStream | null} */ #stream = null;
  /** @type {AudioContext | null} */ #context = null;
  /** @type {AnalyserNode | null} */ #analyser = null;
  /** @type {MediaStreamAudioSourceNode | null} */ #source = null;
  #samples = new Float32Array(1024);
  #muted = false;
  #onDevices = () => this.dispatchEvent(new Event("devices"));

  constructor() {
    super();
    navigator.mediaDevices?.addEventListener("devicechange", this.#onDevices);
  }

  /** @returns {MediaStreamTrack | null} */
  get track() {
    return this.#stream?.getAudioTracks()[0] ?? null;
  }

  get isOpen() {
    return this.track?.readyState === "live";
  }

  get muted() {
    return this.#muted;
  }

  set muted(muted) {
    this.#muted = muted;
    if (this.track) this.track.enabled = !muted;
  }

  /** @returns {Promise<MediaDeviceInfo[]>} labelled only once permission is given */
  async devices() {
    const all = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
    return all.filter((device) => device.kind === "audioinput" && device.deviceId !== "");
  }

  /**
   * @param {string} deviceId "" for the system's default
   * @returns {Promise<MediaStreamTrack>}
   */
  async open(deviceId) {
    if (!window.isSecureContext || !navigator.mediaDevices) {
      throw new ClientError("insecure_context", { step: "microphone" });
    }
    const stream = await this.#request(deviceId);
    this.#release();
    this.#stream = stream;
    const track = stream.getAudioTracks()[0];
    track.enabled = !this.#muted;
    track.addEventListener("ended", () => this.#onEnded(track));
    this.#listen(stream);
    this.dispatchEvent(new Event("change"));
    return track;
  }

  /** @returns {number} loudness now, 0..1 over the shown range */
  level() {
    if (!this.#analyser || this.#muted) return 0;
    this.#analyser.getFloatTimeDomainData(this.#samples);
    let power = 0;
    for (const sample of this.#samples) power += sample * sample;
    const db = 10 * Math.log10(power / this.#samples.length + 1e-12);
    return Math.min(1, Math.max(0, (db - FLOOR_DB) / (CEILING_DB - FLOOR_DB)));
  }

  close() {
    this.#release();
    this.dispatchEvent(new Event("change"));
  }

  destroy() {
    navigator.mediaDevices?.removeEventListener("devicechange", this.#onDevices);
    this.#release();
    this.#context?.close();
    this.#context = null;
  }

  /** @param {string} deviceId @returns {Promise<MediaStream>} */
  async #request(deviceId) {
    try {
      return await navigator.mediaDevices.getUserMedia({
        audio: {
          channelCount: { ideal: 1 },
          echoCancellation: true,
          noiseSuppression: true,
          autoGainControl: true,
          ...(deviceId ? { deviceId: { exact: deviceId } } : {}),
        },
      });
    } catch (cause) {
      throw fromMicrophone(cause);
    }
  }

  /** @param {MediaStream} stream */
  #listen(stream) {
    this.#context ??= new AudioContext();
    this.#context.resume();
    this.#analyser ??= new AnalyserNode(this.#context, { fftSize: this.#samples.length });
    this.#source = this.#context.createMediaStreamSource(stream);
    this.#source.connect(this.#analyser);
  }

  /** @param {MediaStreamTrack} track */
  #onEnded(track) {
    if (track !== this.track) return;
    this.close();
    this.dispatchEvent(new Event("lost"));
  }

  #release() {
    this.#source?.disconnect();
    this.#source = null;
    const stream = this.#stream;
    this.#stream = null;
    for (const track of stream?.getTracks() ?? []) track.stop();
  }
}
