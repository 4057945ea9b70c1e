/** WHIP and WHEP clients of others, each as its documentation says: begin, look, end. */
import { WebRTCPlayer } from "@eyevinn/webrtc-player";
import { WHIPClient as EyevinnWhip } from "@eyevinn/whip-web-client";
import { WHEPClient as MedoozeWhep } from "whip-whep/whep.js";
import { WHIPClient as MedoozeWhip } from "whip-whep/whip.js";

const ask = { audio: true, video: { width: 320, height: 240 } };

window.publishers = {
  async medooze(url) {
    const pc = new RTCPeerConnection();
    const stream = await navigator.mediaDevices.getUserMedia(ask);
    for (const track of stream.getTracks())
      pc.addTransceiver(track, { direction: "sendonly", streams: [stream] });
    const client = new MedoozeWhip();
    await client.publish(pc, url, "TOKEN");
    return { pc: () => pc, end: () => client.stop() };
  },
  async eyevinn(url) {
    const client = new EyevinnWhip({
      endpoint: url,
      opts: { debug: false, iceServers: [], authkey: "TOKEN" },
    });
    await client.setIceServersFromEndpoint();
    await client.ingest(await navigator.mediaDevices.getUserMedia(ask));
    return { pc: () => client.peer, end: () => client.destroy() };
  },
};

window.players = {
  async medooze(url) {
    const pc = new RTCPeerConnection();
    for (const kind of ["audio", "video"]) pc.addTransceiver(kind, { direction: "recvonly" });
    const video = shown();
    video.srcObject = new MediaStream();
    pc.ontrack = ({ track }) => video.srcObject.addTrack(track);
    const client = new MedoozeWhep();
    await client.view(pc, url, "TOKEN");
    return { video, end: () => client.stop() };
  },
  async eyevinn(url) {
    const video = shown();
    const player = new WebRTCPlayer({ video, type: "whep", iceServers: [], debug: false });
    await player.load(new URL(url), "Bearer TOKEN");
    return { video, end: () => player.unload() };
  },
};

function shown() {
  const video = document.createElement("video");
  Object.assign(video, { muted: true, autoplay: true, playsInline: true });
  document.body.append(video);
  return video;
}
