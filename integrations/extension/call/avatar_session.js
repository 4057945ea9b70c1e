// The connection with the user's server: his microphone up, the avatar and its voice down.

(() => {
  const { avatarTrack, unplug } = globalThis.vivavoceCall;
  const Connection = globalThis.RTCPeerConnection;
  const Stream = globalThis.MediaStream;
  const PING_MS = 2000;
  const CONNECT_MS = 15000;
  /** Calls let go of a camera to open it again: the session outlives that. */
  const LINGER_MS = 5000;

  /** What the user is told; calls see its message too. */
  class Unavailable extends Error {}

  /**
   * One session, for all tracks that the page has of it. It lives as long as one of them.
   */
  class AvatarSession {
    /** @type {Set<MediaStreamTrack>} */ #tracks = new Set();
    #stream = new Stream();
    #lingering = 0;
    #pinging = 0;
    #over = false;
    /** @type {string | null} */ #id = null;
    /** @type {RTCPeerConnection | null} */ #connection = null;

    /**
     * @param {(ask: object) => Promise<any>} ask the service worker
     * @param {MediaStream} microphone the real one; it goes to the server and nowhere else
     * @param {(message: string) => void} onOver with words if it ended by itself
     */
    constructor(ask, microphone, onOver) {
      this.#ask = ask;
      this.#microphone = microphone;
      this.#onOver = onOver;
    }

    #ask;
    #microphone;
    #onOver;

    /** Rejects with an Unavailable, in words. */
    async open() {
      try {
        await this.#connect(await this.#ask({ type: "iceServers" }));
      } catch (error) {
        this.#end("");
        throw error instanceof Unavailable
          ? error
          : new Unavailable(error instanceof Error ? error.message : String(error));
      }
      this.#linger();
    }

    /** @param {RTCIceServer[]} iceServers */
    async #connect(iceServers) {
      const connection = new Connection({ iceServers, bundlePolicy: "max-bundle" });
      this.#connection = connection;
      connection.ontrack = ({ receiver, track }) => {
        // The server lets both leave together: played without a cushion they stay so.
        if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
        this.#stream.addTrack(track);
      };
      const [microphone] = this.#microphone.getAudioTracks();
      connection.addTransceiver(microphone, { direction: "sendrecv", streams: [this.#microphone] });
      connection.addTransceiver("video", { direction: "recvonly" });
      const events = connection.createDataChannel("events");
      events.onopen = () => {
        this.#pinging = setInterval(() => events.send('{"type": "ping"}'), PING_MS);
      };
      events.onclose = () => this.#end("The session on the vivavoce server has ended.");
      microphone.addEventListener("ended", () => this.#end("The microphone is gone."));
      await connection.setLocalDescription();
      const sdp = connection.localDescription?.sdp;
      const answer = await this.#ask({ type: "open", sdp });
      this.#id = answer.id;
      await connection.setRemoteDescription({ type: "answer", sdp: answer.sdp });
      await this.#connected(connection);
      connection.onconnectionstatechange = () => {
        if (connection.connectionState === "failed")
          this.#end("The connection with the vivavoce server is lost.");
      };
    }

    /** @param {RTCPeerConnection} connection */
    #connected(connection) {
      return new Promise((resolve, reject) => {
        const words =
          "The vivavoce server answered, but no picture comes through: something between it and this " +
          "browser blocks UDP.";
        const timer = setTimeout(() => reject(new Unavailable(words)), CONNECT_MS);
        connection.onconnectionstatechange = () => {
          if (connection.connectionState === "connected") resolve(undefined);
          else if (connection.connectionState === "failed") reject(new Unavailable(words));
          else return;
          clearTimeout(timer);
        };
      });
    }

    get over() {
      return this.#over;
    }

    /**
     * A track more for the call.
     * @param {"audio" | "video"} kind @param {MediaTrackConstraints} constraints
     */
    track(kind, constraints) {
      const received = this.#stream.getTracks().find((track) => track.kind === kind);
      if (!received) throw new Unavailable("The vivavoce server sent no picture.");
      return avatarTrack(received, constraints, this);
    }

    // What tracks say of themselves

    /** @param {MediaStreamTrack} track */
    joined(track) {
      clearTimeout(this.#lingering);
      this.#tracks.add(track);
      this.changed();
    }

    /** @param {MediaStreamTrack} track */
    left(track) {
      this.#tracks.delete(track);
      this.changed();
      if (!this.#tracks.size) this.#linger();
    }

    /** Muted in the call, the user is not heard by the server either, and the avatar is silent. */
    changed() {
      const voices = [...this.#tracks].filter((track) => track.kind === "audio");
      const heard = !voices.length || voices.some((track) => track.enabled);
      for (const track of this.#microphone.getAudioTracks()) track.enabled = heard;
    }

    #linger() {
      clearTimeout(this.#lingering);
      this.#lingering = setTimeout(() => this.#end(""), LINGER_MS);
    }

    /** Ends it here and on the server. */
    close() {
      this.#end("");
    }

    /** @param {string} message for the user; "" if it ends as it should */
    #end(message) {
      if (this.#over) return;
      this.#over = true;
      clearTimeout(this.#lingering);
      clearInterval(this.#pinging);
      this.#connection?.close();
      for (const track of this.#microphone.getTracks()) track.stop();
      for (const track of this.#tracks) unplug(track);
      this.#tracks.clear();
      if (this.#id) this.#ask({ type: "close", id: this.#id }).catch(() => {});
      this.#onOver(message);
    }
  }

  Object.assign(globalThis.vivavoceCall, { AvatarSession, Unavailable });
})();
