// OpenAI's agents client for browsers, by WebRTC, with our video beside its voice.
import { OpenAIRealtimeWebRTC, RealtimeAgent, RealtimeSession } from "@openai/agents-realtime";

window.log = [];

window.start = async (endpoint, withVideo) => {
  const changePeerConnection = (connection) => {
    connection.addTransceiver("video", { direction: "recvonly" });
    connection.addEventListener("track", ({ track }) => {
      if (track.kind !== "video") return;
      const video = document.createElement("video");
      video.autoplay = video.muted = true;
      video.srcObject = new MediaStream([track]);
      document.body.append(video);
    });
    return connection;
  };
  const options = { baseUrl: endpoint, useInsecureApiKey: true };
  if (withVideo) options.changePeerConnection = changePeerConnection;
  const transport = new OpenAIRealtimeWebRTC(options);
  transport.on("*", (event) => window.log.push(event.type));
  window.session = new RealtimeSession(new RealtimeAgent({ name: "x" }), {
    transport,
    model: "avatar",
    tracingDisabled: true,
  });
  window.session.on("error", (event) => window.log.push(`error ${JSON.stringify(event)}`));
  window.transport = transport;
  await window.session.connect({ apiKey: "ek_none" });
};

window.push = (seconds) => {
  const pcm = Int16Array.from({ length: seconds * 24000 }, (_, n) => 8000 * Math.sin(n / 8));
  const chunk = 12000; // an event of a data channel has 64 KiB at most
  for (let at = 0; at < pcm.length; at += chunk)
    window.session.sendAudio(pcm.slice(at, at + chunk).buffer);
  window.transport.sendEvent({ type: "input_audio_buffer.commit" });
};

window.takeNoTurns = () =>
  window.transport.sendEvent({
    type: "session.update",
    session: { type: "realtime", audio: { input: { turn_detection: null } } },
  });

window.received = async () => {
  const stats = await window.transport.connectionState.peerConnection.getStats();
  const found = {};
  for (const report of stats.values())
    if (report.type === "inbound-rtp") found[report.kind] = report.packetsReceived;
  return found;
};

window.video = () => {
  const video = document.querySelector("video");
  return video && { width: video.videoWidth, time: video.currentTime };
};
