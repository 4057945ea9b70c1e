// Wraps `getUserMedia` and `enumerateDevices` of the page of a call. Where the avatar is off, and
// for whatever does not concern it, the browser's own answer.

(() => {
  const { ID, avatarDevice, AvatarSession } = globalThis.vivavoceCall;
  delete globalThis.vivavoceCall;
  const devices = navigator.mediaDevices;
  if (!devices) return; // not a secure page
  const real = {
    getUserMedia: devices.getUserMedia.bind(devices),
    enumerateDevices: devices.enumerateDevices.bind(devices),
  };
  const Stream = globalThis.MediaStream;
  /** @type {Promise<InstanceType<typeof AvatarSession>> | null} */ let running = null;

  // Questions to the service worker

  /** @type {Map<number, (answer: any) => void>} */ const waiting = new Map();
  let asked = 0;
  document.addEventListener("vivavoce:answer", (event) => {
    const answer = JSON.parse(/** @type {CustomEvent} */ (event).detail);
    waiting.get(answer.number)?.(answer);
    waiting.delete(answer.number);
  });

  /** @param {object} ask @returns {Promise<any>} rejects in the worker's words */
  async function ask(ask) {
    const number = ++asked;
    const answer = await new Promise((resolve) => {
      waiting.set(number, resolve);
      const detail = JSON.stringify({ number, ask });
      document.dispatchEvent(new CustomEvent("vivavoce:ask", { detail }));
    });
    if (answer.error) throw new Error(answer.error.message);
    return answer.result;
  }

  /** @returns {Promise<{on: boolean, first: boolean}>} */
  const state = () => ask({ type: "state" });

  // What a call asks for

  /** @param {any} constraint @returns {string[]} */
  function namesOf(constraint) {
    if (typeof constraint === "string") return [constraint];
    if (Array.isArray(constraint)) return constraint;
    return constraint ? [...namesOf(constraint.exact), ...namesOf(constraint.ideal)] : [];
  }

  /**
   * Whether the avatar is meant: asked for by its id, or by none and it comes first.
   * @param {"audio" | "video"} kind @param {any} wanted a boolean or constraints @param {boolean} first
   */
  function meant(kind, wanted, first) {
    if (!wanted) return false;
    const names = namesOf(wanted.deviceId).filter((name) => name && name !== "default");
    if (names.includes(ID[kind])) return true;
    const screen = wanted.mandatory?.chromeMediaSource; // a window or tab, the old way
    return first && !names.length && !screen;
  }

  /** @param {any} wanted @returns {MediaTrackConstraints} of the real microphone behind the avatar */
  function forMicrophone(wanted) {
    const { deviceId, groupId, ...others } = typeof wanted === "object" ? wanted : {};
    return { echoCancellation: true, noiseSuppression: true, autoGainControl: true, ...others };
  }

  /** The one session of this page. @param {any} voice constraints of the microphone */
  async function session(voice) {
    if (running && (await running.catch(() => ({ over: true }))).over) running = null;
    running ??= (async () => {
      const microphone = await real.getUserMedia({ audio: forMicrophone(voice) });
      const made = new AvatarSession(ask, microphone, (message) => {
        if (message) ask({ type: "tell", text: message });
      });
      await made.open();
      return made;
    })();
    return running;
  }

  addEventListener("pagehide", async () => (await running?.catch(() => null))?.close());

  /** @param {MediaStreamConstraints} [constraints] */
  async function getUserMedia(constraints) {
    const { on, first } = await state().catch(() => ({ on: false, first: false }));
    /** @type {("audio" | "video")[]} */
    const kinds = ["audio", "video"];
    const ours = on ? kinds.filter((kind) => meant(kind, constraints?.[kind], first)) : [];
    if (!constraints || !ours.length) return real.getUserMedia(constraints);
    const theirs = kinds.filter((kind) => constraints[kind] && !ours.includes(kind));
    const stream = new Stream();
    if (theirs.length) {
      const wanted = Object.fromEntries(theirs.map((kind) => [kind, constraints[kind]]));
      for (const track of (await real.getUserMedia(wanted)).getTracks()) stream.addTrack(track);
    }
    try {
      const avatar = await session(constraints.audio);
      for (const kind of ours) {
        const wanted = constraints[kind];
        stream.addTrack(avatar.track(kind, typeof wanted === "object" ? wanted : {}));
      }
    } catch (error) {
      for (const track of stream.getTracks()) track.stop();
      throw refused(error);
    }
    return stream;
  }

  /**
   * Never the real camera instead: whoever chose an avatar does not want to be seen.
   * @param {unknown} error
   */
  function refused(error) {
    if (error instanceof DOMException) return error; // the microphone was refused, by its name
    const message = error instanceof Error ? error.message : String(error);
    ask({ type: "tell", text: `${message} To use your camera instead, switch vivavoce off.` });
    return new DOMException(message, "NotReadableError");
  }

  async function enumerateDevices() {
    const [found, { on, first }] = await Promise.all([
      real.enumerateDevices(),
      state().catch(() => ({ on: false, first: false })),
    ]);
    if (!on) return found;
    const ours = [avatarDevice("audio"), avatarDevice("video")];
    return first ? [...ours, ...found] : [...found, ...ours];
  }

  // On the prototype, where pages look for them; the browser's own where `this` is no MediaDevices.
  for (const [name, wrapper] of Object.entries({ getUserMedia, enumerateDevices })) {
    const own = /** @type {any} */ (MediaDevices.prototype)[name];
    Object.defineProperty(MediaDevices.prototype, name, {
      value: {
        [name](/** @type {any[]} */ ...args) {
          return this === devices ? /** @type {any} */ (wrapper)(...args) : own.apply(this, args);
        },
      }[name],
      configurable: true,
      enumerable: true,
      writable: true,
    });
  }
})();
