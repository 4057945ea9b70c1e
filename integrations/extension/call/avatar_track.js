// Runs in the page of a call, before its scripts. A track of the avatar, as a camera or a
// microphone would give it. The last of these scripts takes `vivavoceCall` out of the page again.

globalThis.vivavoceCall = {};

(() => {
  const ID = { video: "vivavoce-camera", audio: "vivavoce-microphone" };
  const LABEL = { video: "vivavoce avatar", audio: "vivavoce voice" };
  const GROUP = "vivavoce";
  const { stop, clone, getSettings } = MediaStreamTrack.prototype;
  const enabled = /** @type {PropertyDescriptor} */ (
    Object.getOwnPropertyDescriptor(MediaStreamTrack.prototype, "enabled")
  );

  /**
   * A clone of a received track that says of itself what a device's would. Calls look at `label` and
   * at `getSettings().deviceId`, and give constraints that a received track would refuse.
   *
   * @param {MediaStreamTrack} received
   * @param {MediaTrackConstraints} asked
   * @param {{joined: (track: MediaStreamTrack) => void, left: (track: MediaStreamTrack) => void,
   *   changed: () => void}} owner hears of every such track, of its end, and of its mute
   * @returns {MediaStreamTrack}
   */
  function avatarTrack(received, asked, owner) {
    const track = clone.call(received);
    const kind = /** @type {"audio" | "video"} */ (received.kind);
    let constraints = asked;
    const own = {
      label: { get: () => LABEL[kind] },
      enabled: {
        get: () => enabled.get?.call(track),
        set: (/** @type {boolean} */ value) => {
          enabled.set?.call(track, value);
          owner.changed();
        },
      },
      getSettings: {
        value: () => ({
          ...getSettings.call(track),
          deviceId: ID[kind],
          groupId: GROUP,
          ...(kind === "video" ? { frameRate: 25, facingMode: "user" } : {}),
        }),
      },
      getCapabilities: { value: () => capabilities(kind) },
      getConstraints: { value: () => ({ ...constraints }) },
      applyConstraints: {
        value: async (/** @type {MediaTrackConstraints} */ wanted = {}) => {
          constraints = wanted; // the picture stays as it is: calls scale it themselves
        },
      },
      clone: { value: () => avatarTrack(track, constraints, owner) },
      stop: {
        value: () => {
          stop.call(track);
          owner.left(track);
        },
      },
    };
    for (const descriptor of Object.values(own)) {
      Object.assign(descriptor, { configurable: true, enumerable: false });
    }
    Object.defineProperties(track, own);
    owner.joined(track);
    return track;
  }

  /** @param {"audio" | "video"} kind */
  function capabilities(kind) {
    const device = { deviceId: ID[kind], groupId: GROUP };
    if (kind === "audio") return { ...device, channelCount: { min: 1, max: 1 } };
    return {
      ...device,
      width: { min: 1, max: 1280 },
      height: { min: 1, max: 720 },
      frameRate: { min: 1, max: 25 },
      facingMode: ["user"],
    };
  }

  /** @param {"audio" | "video"} kind @returns {MediaDeviceInfo} as `enumerateDevices` lists it */
  function avatarDevice(kind) {
    const fields = {
      deviceId: ID[kind],
      kind: `${kind}input`,
      label: LABEL[kind],
      groupId: GROUP,
    };
    const kindOf = globalThis.InputDeviceInfo ?? MediaDeviceInfo;
    const device = Object.create(kindOf.prototype);
    for (const [name, value] of Object.entries(fields)) {
      Object.defineProperty(device, name, { value, enumerable: true });
    }
    Object.defineProperty(device, "toJSON", { value: () => ({ ...fields }) });
    Object.defineProperty(device, "getCapabilities", { value: () => capabilities(kind) });
    return device;
  }

  /** Ends a track that the call still holds, as an unplugged device would. */
  function unplug(/** @type {MediaStreamTrack} */ track) {
    stop.call(track);
    track.dispatchEvent(new Event("ended"));
  }

  Object.assign(globalThis.vivavoceCall, { ID, avatarTrack, avatarDevice, unplug });
})();
