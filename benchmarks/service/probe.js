// Injected before the page: writes down when a sound enters the microphone, when it comes back,
// and how the picture changes around the mouth. All times in seconds of one AudioContext.
(() => {
  const probe = { heard: [], returned: [], mouth: [], skew: [], ready: false };
  window.__probe = probe;
  const context = new AudioContext({ latencyHint: "interactive" });
  const worklet = `
    registerProcessor("onsets", class extends AudioWorkletProcessor {
      constructor() { super(); this.quiet = 0; }
      process([input]) {
        const samples = input[0];
        if (!samples) return true;
        for (let i = 0; i < samples.length; i++) {
          if (Math.abs(samples[i]) > 0.05) {
            if (this.quiet > 0.3 * sampleRate) this.port.postMessage(currentTime + i / sampleRate);
            this.quiet = 0;
          } else this.quiet++;
        }
        return true;
      }
    });`;
  const loaded = context.audioWorklet.addModule(
    URL.createObjectURL(new Blob([worklet], { type: "text/javascript" })));
  async function listen(stream, times) {
    await loaded;
    await context.resume();
    const node = new AudioWorkletNode(context, "onsets");
    node.port.onmessage = (event) => times.push(event.data);
    context.createMediaStreamSource(stream).connect(node);
  }
  const media = navigator.mediaDevices;
  const getUserMedia = media.getUserMedia.bind(media);
  media.getUserMedia = async (constraints) => {
    // Echo cancellation and gain control would alter the test signal.
    if (constraints.audio) {
      constraints = { ...constraints, audio: { echoCancellation: false, autoGainControl: false,
        noiseSuppression: false } };
    }
    const stream = await getUserMedia(constraints);
    probe.microphone = stream;
    return stream;
  };
  const contextTime = (performanceTime) => {
    const stamp = context.getOutputTimestamp();
    return stamp.contextTime + (performanceTime - stamp.performanceTime) / 1000;
  };
  probe.start = async (video) => {
    if (probe.microphone) await listen(probe.microphone, probe.heard);
    await listen(video.srcObject, probe.returned);
    const canvas = new OffscreenCanvas(48, 32);
    const draw = canvas.getContext("2d", { willReadFrequently: true });
    const onFrame = (now, frame) => {
      const [w, h] = [video.videoWidth, video.videoHeight];
      draw.drawImage(video, w * 0.36, h * 0.5, w * 0.28, h * 0.24, 0, 0, 48, 32);
      const pixels = draw.getImageData(0, 0, 48, 32).data;
      const grey = [];
      for (let i = 0; i < pixels.length; i += 4) grey.push(pixels[i + 1]);
      probe.mouth.push([contextTime(frame.presentationTime ?? now), grey]);
      video.requestVideoFrameCallback(onFrame);
    };
    video.requestVideoFrameCallback(onFrame);
    setInterval(async () => {
      const pc = window.vivavoce.pc;
      if (!pc) return;
      const at = {};
      for (const s of (await pc.getStats()).values()) {
        if (s.type === "inbound-rtp") at[s.kind] = s.estimatedPlayoutTimestamp;
      }
      if (at.audio && at.video) probe.skew.push(at.audio - at.video);
    }, 200);
    probe.ready = true;
  };
  probe.counters = async () => {
    const out = {};
    for (const s of (await window.vivavoce.pc.getStats()).values()) {
      if (s.type === "inbound-rtp") out[s.kind] = s;
      if (s.type === "candidate-pair" && s.nominated) out.rtt = s.currentRoundTripTime;
    }
    return JSON.parse(JSON.stringify(out));
  };
})();
