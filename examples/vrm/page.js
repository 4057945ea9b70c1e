// A VRM model moves as the avatar of a vivavoce session does, and says what it says.
//
//   ?server=http://127.0.0.1:8080   whose avatar; it must allow this page's origin
//   ?session=ID                     follow a session that is open, in place of one of this page's own
//   ?model=URL                      another VRM model with ARKit's blendshapes
//   ?token=TOKEN                    where the server asks for one

import {
  AmbientLight,
  Color,
  DirectionalLight,
  PerspectiveCamera,
  Scene,
  Timer,
  WebGLRenderer,
} from "three";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
import { VRMLoaderPlugin } from "@pixiv/three-vrm";

import { Follower, OwnSession } from "./session.js";
import { pose } from "./pose.js";

const query = new URLSearchParams(location.search);
const server = (query.get("server") ?? "http://127.0.0.1:8080").replace(/\/$/, "");
const stage = document.querySelector("#stage");
const said = document.querySelector("#said");
const button = document.querySelector("#start");

const renderer = new WebGLRenderer({ canvas: stage, antialias: true });
const scene = new Scene();
scene.background = new Color("#dfe8e8");
const camera = new PerspectiveCamera(22, 1, 0.1, 10);
const sun = new DirectionalLight("#ffffff", 2.2);
sun.position.set(0.5, 1.2, 1.5);
scene.add(sun, new AmbientLight("#ffffff", 1.4));

const loader = new GLTFLoader();
loader.register((parser) => new VRMLoaderPlugin(parser));
const { vrm } = (await loader.loadAsync(query.get("model") ?? "avatar.vrm")).userData;
scene.add(vrm.scene);
const head = vrm.humanoid.getRawBoneNode("head");
head.getWorldPosition(camera.position);
camera.position.y += 0.06;
camera.position.z += 1.15;
// Arms hang: the rest pose stretches them out.
for (const [name, sign] of [["leftUpperArm", -1], ["rightUpperArm", 1]]) {
  const arm = vrm.humanoid.getNormalizedBoneNode(name);
  if (arm) arm.rotation.z = sign * 1.25;
}

const demo = { vrm, motion: null, frames: 0, source: null };
window.demo = demo;

const timer = new Timer();
renderer.setAnimationLoop((now) => {
  timer.update(now);
  const { clientWidth: width, clientHeight: height } = stage;
  if (stage.width !== width || stage.height !== height) {
    renderer.setSize(width, height, false);
    camera.aspect = width / height;
    camera.updateProjectionMatrix();
  }
  if (demo.motion) pose(vrm, demo.motion);
  vrm.update(timer.getDelta());
  renderer.render(scene, camera);
});

/** @param {{t: number, values: Record<string, number>}} event `avatar.motion` */
function move(event) {
  demo.motion = event.values;
  demo.frames += 1;
  if (event.values.jawOpen > 0.2) said.textContent = "";
}

async function start() {
  button.hidden = true;
  said.textContent = "Connecting…";
  const id = query.get("session");
  const kind = id ? Follower : OwnSession;
  demo.source = new kind(server, { id, token: query.get("token") ?? "", move, ended });
  try {
    await demo.source.open();
    said.textContent = id ? "" : "Say something.";
  } catch (error) {
    ended(error.message);
  }
}

/** @param {string} words */
function ended(words) {
  demo.source?.close();
  said.textContent = words;
  button.hidden = false;
}

button.addEventListener("click", start);
