/** Where motion comes from. @typedef {{id: string | null, token: string,
 *   move: (event: any) => void, ended: (words: string) => void}} Options */

const PING_MS = 2000;

/** Follows a session that is open. It has no sound: that comes from wherever the session is. */
export class Follower {
  /** @param {string} server @param {Options} options */
  constructor(server, options) {
    this.server = server;
    this.options = options;
  }

  async open() {
    const { id, token, move, ended } = this.options;
    const address = `${this.server}/v1/sessions/${encodeURIComponent(id)}/`;
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    let ticket = "";
    if (token) {
      const given = await fetch(`${address}tickets`, { method: "POST", headers });
      ticket = `&ticket=${encodeURIComponent((await given.json()).ticket)}`;
    }
    const socket = new WebSocket(`${address.replace(/^http/, "ws")}events?motion=true${ticket}`);
    this.socket = socket;
    socket.onmessage = ({ data }) => {
      const event = JSON.parse(data);
      if (event.type === "avatar.motion") move(event);
    };
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onerror = () =>
        reject(new Error(`${this.server} has no such session, or does not allow this page.`));
    });
    socket.onclose = () => ended("The session has ended.");
  }

  close() {
    if (this.socket) this.socket.onclose = null;
    this.socket?.close();
  }
}

/** A session of this page's own: the microphone up, the voice and the motion down; no picture. */
export class OwnSession {
  /** @param {string} server @param {Options} options */
  constructor(server, options) {
    this.server = server;
    this.options = options;
    this.sound = new Audio();
    this.delayMs = 0;
  }

  async open() {
    this.microphone = await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
    });
    const connection = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    this.connection = connection;
    const [track] = this.microphone.getAudioTracks();
    connection.addTransceiver(track, { direction: "sendrecv" });
    connection.ontrack = ({ receiver, track }) => {
      receiver.jitterBufferTarget = 0;
      this.sound.srcObject = new MediaStream([track]);
      this.sound.play();
    };
    this.events = connection.createDataChannel("events");
    this.events.onopen = () => this.#opened();
    this.events.onmessage = ({ data }) => this.#hear(JSON.parse(data));
    this.events.onclose = () => this.options.ended("The session has ended.");
    await connection.setLocalDescription();
    const answer = await this.#ask("POST", "/v1/sessions", {
      sdp: connection.localDescription.sdp,
      type: "offer",
      audio: "microphone",
      pipeline: "portrait",
    });
    this.id = answer.id;
    await connection.setRemoteDescription({ type: "answer", sdp: answer.sdp });
  }

  close() {
    clearInterval(this.pinging);
    if (this.events) this.events.onclose = null;
    this.connection?.close();
    for (const track of this.microphone?.getTracks() ?? []) track.stop();
    if (this.id) this.#ask("DELETE", `/v1/sessions/${this.id}`).catch(() => {});
    this.id = null;
  }

  #opened() {
    this.events.send(JSON.stringify({ type: "session.update", motion_events: true }));
    this.pinging = setInterval(() => {
      if (this.events.readyState === "open") this.events.send('{"type": "ping"}');
      this.#measure();
    }, PING_MS);
  }

  /** Motion is told when its voice leaves the server: it waits here as long as the voice does. */
  #hear(event) {
    if (event.type === "avatar.motion") setTimeout(() => this.options.move(event), this.delayMs);
  }

  async #measure() {
    for (const report of (await this.connection.getStats()).values()) {
      if (report.type !== "inbound-rtp" || report.kind !== "audio") continue;
      const [delay, count] = [report.jitterBufferDelay, report.jitterBufferEmittedCount];
      const [before, had] = this.heard ?? [0, 0];
      if (count > had) this.delayMs = (1000 * (delay - before)) / (count - had);
      this.heard = [delay, count];
    }
  }

  /** @param {string} method @param {string} path @param {unknown} [body] */
  async #ask(method, path, body) {
    const headers = this.options.token ? { Authorization: `Bearer ${this.options.token}` } : {};
    if (body) headers["Content-Type"] = "application/json";
    let response;
    try {
      response = await fetch(this.server + path, { method, headers, body: body && JSON.stringify(body) });
    } catch {
      throw new Error(
        `${this.server} does not answer, or does not allow this page: it needs ` +
          `allowed_origins = ["${location.origin}"] in its settings.`,
      );
    }
    const answer = response.status === 204 ? {} : await response.json();
    if (!response.ok) throw new Error(answer.error?.message ?? `The server refused: ${response.status}`);
    return answer;
  }
}
