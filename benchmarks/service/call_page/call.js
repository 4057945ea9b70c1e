// A page that behaves like a call: it lists devices, asks for a camera and a microphone, and sends
// both through one peer connection to another.

const CONSTRAINTS = {
  audio: { echoCancellation: true, noiseSuppression: true },
  video: { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } },
};
// Kept before anything else of the page runs, as calls do.
const { getUserMedia, enumerateDevices } = MediaDevices.prototype;

const call = {
  stream: null,
  connections: [],
  arrived: { onsets: [], mouth: [] },

  async devices() {
    return (await enumerateDevices.call(navigator.mediaDevices)).map((d) => d.toJSON());
  },

  async open(constraints = CONSTRAINTS) {
    this.stream = await getUserMedia.call(navigator.mediaDevices, constraints);
    document.querySelector("#self").srcObject = this.stream;
    return this.stream.getTracks().map((track) => ({
      kind: track.kind,
      label: track.label,
      state: track.readyState,
      settings: track.getSettings(),
    }));
  },

  /** Sends what was opened through two connections, and shows it at the other end. */
  async join() {
    const [here, there] = [new RTCPeerConnection(), new RTCPeerConnection()];
    this.connections = [here, there];
    here.onicecandidate = ({ candidate }) => candidate && there.addIceCandidate(candidate);
    there.onicecandidate = ({ candidate }) => candidate && here.addIceCandidate(candidate);
    const arriving = new MediaStream();
    there.ontrack = ({ track }) => arriving.addTrack(track);
    for (const track of this.stream.getTracks()) here.addTrack(track, this.stream);
    await here.setLocalDescription();
    await there.setRemoteDescription(here.localDescription);
    await there.setLocalDescription();
    await here.setRemoteDescription(there.localDescription);
    document.querySelector("#other").srcObject = arriving;
  },

  /** As a call's mute button does. @param {boolean} muted */
  mute(muted) {
    for (const track of this.stream.getAudioTracks()) track.enabled = !muted;
  },

  leave() {
    for (const connection of this.connections) connection.close();
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.connections = [];
  },

  /** @returns {Promise<Record<string, any>>} of what arrived, by kind */
  async received() {
    const found = {};
    for (const report of (await this.connections[1].getStats()).values()) {
      if (report.type === "inbound-rtp") found[report.kind] = report;
    }
    return JSON.parse(JSON.stringify(found));
  },

  /**
   * Writes down when sounds begin, and how the picture of the mouth changes: at the other end, or of
   * what was opened (`#self`).
   */
  async watch(selector = "#other") {
    const video = document.querySelector(selector);
    const context = new AudioContext();
    await context.resume();
    const worklet = `registerProcessor("onsets", class extends AudioWorkletProcessor {
      constructor() { super(); this.quiet = 0; }
      process([input]) {
        const samples = input[0] ?? [];
        for (let i = 0; i < samples.length; i++) {
          if (Math.abs(samples[i]) > 0.05) {
            if (this.quiet > 0.3 * sampleRate) this.port.postMessage(currentTime + i / sampleRate);
            this.quiet = 0;
          } else this.quiet++;
        }
        return true;
      }
    });`;
    await context.audioWorklet.addModule(
      URL.createObjectURL(new Blob([worklet], { type: "text/javascript" })),
    );
    const node = new AudioWorkletNode(context, "onsets");
    node.port.onmessage = ({ data }) => this.arrived.onsets.push(data);
    context.createMediaStreamSource(video.srcObject).connect(node);
    const draw = new OffscreenCanvas(48, 32).getContext("2d", { willReadFrequently: true });
    const onFrame = (now, frame) => {
      const stamp = context.getOutputTimestamp();
      const at = stamp.contextTime + ((frame.presentationTime ?? now) - stamp.performanceTime) / 1000;
      const side = video.videoHeight; // of the square around the face, in the middle of 16:9
      const left = (video.videoWidth - side) / 2;
      draw.drawImage(video, left + side * 0.36, side * 0.5, side * 0.28, side * 0.24, 0, 0, 48, 32);
      const pixels = draw.getImageData(0, 0, 48, 32).data;
      this.arrived.mouth.push([at, Array.from({ length: 48 * 32 }, (_, i) => pixels[4 * i + 1])]);
      video.requestVideoFrameCallback(onFrame);
    };
    video.requestVideoFrameCallback(onFrame);
  },
};

window.call = call;
