import { ClientError } from "./client/errors.js";

const TYPE = "video/webm";
/** For the server to say how the file ends; one that has gone does not keep the page waiting. */
const FINISH_MS = 5000;

/**
 * Takes what the server sends of a session, as a file: the very pictures and voice that it sends to
 * watch, encoded once. (A `MediaRecorder` encodes them again; of what comes by WebRTC, Chromium's
 * has the pictures before their sound by all the time that they were on their way.)
 */
export class Recorder {
  #socket;
  /** @type {Blob[]} */ #parts = [];
  /** @type {Blob | null} in the place of the first part */ #front = null;
  #ended;
  #beganMs = performance.now();

  /**
   * @param {WebSocket} socket an open one; see `record`
   * @param {string} name of the avatar, for the file name
   */
  constructor(socket, name) {
    this.name = name;
    this.#socket = socket;
    socket.onmessage = (e) => this.#take(e.data);
    this.#ended = new Promise((resolve) => (socket.onclose = resolve));
  }

  get elapsedS() {
    return (performance.now() - this.#beganMs) / 1000;
  }

  /** Settles when nothing more will come, whoever wished that. */
  get ended() {
    return this.#ended;
  }

  /**
   * Ends the recording and saves it.
   * @returns {Promise<{name: string, whole: boolean} | null>} not whole: the connection broke, and
   *   players may not know how long it is; null: there was nothing to save
   */
  async save() {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send("stop");
    await Promise.race([this.#ended, new Promise((done) => setTimeout(done, FINISH_MS))]);
    const [first, ...rest] = this.#parts;
    const front = this.#front;
    this.destroy();
    if (!rest.length) return null;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([front ?? first, ...rest], { type: TYPE }));
    link.download = this.#fileName();
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    return { name: link.download, whole: front !== null };
  }

  destroy() {
    this.#socket.onmessage = null;
    this.#socket.close();
    this.#parts = [];
  }

  /** @param {Blob | string} data */
  #take(data) {
    if (typeof data !== "string") this.#parts.push(data);
    else {
      const { front } = JSON.parse(data);
      this.#front = new Blob([Uint8Array.from(atob(front), (byte) => byte.charCodeAt(0))]);
    }
  }

  /** Says by its name that the recording is synthetic, as the file does. */
  #fileName() {
    const stamp = new Date().toISOString().slice(0, 19).replace("T", " ").replace(/:/g, "-");
    return `AI avatar ${this.name} ${stamp}.webm`;
  }
}

/**
 * Begins to record a session.
 * @param {import("./client/api.js").Api} api
 * @param {string} session its id
 * @param {string} name of the avatar
 * @returns {Promise<Recorder>}
 */
export async function record(api, session, name) {
  const url = new URL(api.url(`v1/sessions/${encodeURIComponent(session)}/recording`));
  url.protocol = url.protocol.replace("http", "ws");
  if (api.hasToken) url.searchParams.set("ticket", await api.ticket(session));
  const socket = new WebSocket(url);
  socket.binaryType = "blob";
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onclose = () => reject(new ClientError("recording_refused"));
  });
  return new Recorder(socket, name);
}
