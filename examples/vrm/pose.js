/** A gaze so far to a side is a weight of 1. */
const LOOK_FULL_DEG = 30;
const NECK_SHARE = 0.4;
const RADIANS = Math.PI / 180;

/**
 * Puts a VRM model into a pose of `avatar.motion`. Left and right there are the subject's; positive
 * yaw and roll go to the right edge of the picture, which is the subject's left, and pitch up.
 *
 * @param {import("@pixiv/three-vrm").VRM} vrm with ARKit's blendshapes as expressions, or only its
 *   own vowels and blinks
 * @param {Record<string, number>} values
 */
export function pose(vrm, values) {
  const expressions = vrm.expressionManager;
  const weights = expressions.getExpression("jawOpen") ? arkit(values) : vowels(values);
  for (const [name, weight] of Object.entries(weights)) expressions.setValue(name, weight);
  for (const [name, share] of [["neck", NECK_SHARE], ["head", 1 - NECK_SHARE]]) {
    const bone = vrm.humanoid.getNormalizedBoneNode(name);
    bone?.rotation.set(
      -values.headPitch * share * RADIANS,
      values.headYaw * share * RADIANS,
      -values.headRoll * share * RADIANS,
      "YXZ",
    );
  }
}

/** @param {Record<string, number>} values */
function arkit(values) {
  const yaw = values.gazeYaw / LOOK_FULL_DEG;
  const pitch = values.gazePitch / LOOK_FULL_DEG;
  return {
    ...values,
    eyeLookOutLeft: Math.max(0, yaw),
    eyeLookInRight: Math.max(0, yaw),
    eyeLookInLeft: Math.max(0, -yaw),
    eyeLookOutRight: Math.max(0, -yaw),
    eyeLookUpLeft: Math.max(0, pitch),
    eyeLookUpRight: Math.max(0, pitch),
    eyeLookDownLeft: Math.max(0, -pitch),
    eyeLookDownRight: Math.max(0, -pitch),
  };
}

/** @param {Record<string, number>} values */
function vowels(values) {
  const opened = Math.max(0, values.jawOpen - values.mouthClose);
  const round = Math.max(values.mouthPucker, values.mouthFunnel);
  return {
    aa: Math.min(1, 1.6 * opened * (1 - round)),
    oh: Math.min(1, 1.6 * opened * round),
    ou: Math.min(1, round * (1 - opened)),
    blinkLeft: values.eyeBlinkLeft,
    blinkRight: values.eyeBlinkRight,
  };
}
