// OpenAI's agents client in Node, by WebSocket; prints what came as JSON.
//   node --input-type=module - WS_URL < openai_agents.mjs
import { OpenAIRealtimeWebSocket, RealtimeAgent, RealtimeSession } from "@openai/agents-realtime";

const url = process.argv.at(-1);
const transport = new OpenAIRealtimeWebSocket({ url });
const session = new RealtimeSession(new RealtimeAgent({ name: "x", instructions: "y" }), {
  transport,
  model: "avatar",
  tracingDisabled: true,
});
const told = { bytes: 0, happened: [], types: [], errors: [] };
session.on("audio", (event) => (told.bytes += event.data.byteLength));
for (const name of ["audio_start", "audio_stopped", "audio_interrupted"])
  session.on(name, () => told.happened.push(name));
session.on("transport_event", (event) => told.types.push(event.type));
session.on("error", (event) => told.errors.push(event.error?.error?.code ?? String(event.error)));

const until = async (condition) => {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 20));
};
const tone = (seconds) =>
  Int16Array.from({ length: seconds * 24000 }, (_, n) => 8000 * Math.sin(n / 8)).buffer;
const count = (type) => told.types.filter((each) => each === type).length;

await session.connect({ apiKey: "ek_none" });
session.sendAudio(tone(1));
transport.sendEvent({ type: "input_audio_buffer.commit" });
await until(() => count("output_audio_buffer.stopped") === 1);
told.whole = told.bytes;
session.sendAudio(tone(20));
transport.sendEvent({ type: "input_audio_buffer.commit" });
await until(() => told.bytes > told.whole + 9600);
session.interrupt();
await until(() => count("output_audio_buffer.cleared") > 0);
await until(() => count("conversation.item.truncated") > 0);
session.close();
console.log(JSON.stringify(told));
process.exit(0);
