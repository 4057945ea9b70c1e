// Pipecat's own client for browsers, as its documentation uses it.
import { PipecatClient, RTVIEvent } from "@pipecat-ai/client-js";
import { SmallWebRTCTransport, WavMediaManager } from "@pipecat-ai/small-webrtc-transport";

window.log = [];

window.start = async (endpoint, requestData) => {
  const note = (name) => (detail) => window.log.push({ name, detail });
  const client = new PipecatClient({
    // The usual media manager loads a bundle from elsewhere; this one comes with the package.
    transport: new SmallWebRTCTransport({ iceServers: [], mediaManager: new WavMediaManager() }),
    enableMic: true,
    enableCam: false,
    callbacks: {
      onTransportStateChanged: note("state"),
      onBotReady: note("botReady"),
      onBotStartedSpeaking: note("botStartedSpeaking"),
      onBotStoppedSpeaking: note("botStoppedSpeaking"),
      onUserStartedSpeaking: note("userStartedSpeaking"),
      onServerMessage: (event) => window.log.push({ name: "event", detail: event.type }),
      onError: note("error"),
      onMessageError: note("messageError"),
    },
  });
  client.on(RTVIEvent.TrackStarted, (track, participant) => {
    if (participant?.local) return;
    window.log.push({ name: `${track.kind}Track` });
    const element = document.createElement(track.kind);
    element.autoplay = true;
    element.srcObject = new MediaStream([track]);
    document.body.append(element);
  });
  window.client = client;
  await client.connect({ webrtcRequestParams: { endpoint, requestData } });
};

window.video = () => {
  const video = document.querySelector("video");
  return video && { width: video.videoWidth, time: video.currentTime };
};
