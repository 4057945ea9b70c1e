/** How this browser draws. */

const SOFTWARE = /swiftshader|llvmpipe|softpipe|software|basic render/i;

/**
 * Whether the processor does what a graphics card should: a face and its page then cost several times
 * as much, taken from what else runs here. Browsers without hardware acceleration refuse WebGL, or
 * name the library that stands in for the card.
 *
 * @returns {boolean}
 */
export function drawsInSoftware() {
  const gl = document.createElement("canvas").getContext("webgl");
  if (!gl) return true;
  const info = gl.getExtension("WEBGL_debug_renderer_info");
  const name = gl.getParameter(info ? info.UNMASKED_RENDERER_WEBGL : gl.RENDERER);
  gl.getExtension("WEBGL_lose_context")?.loseContext();
  return SOFTWARE.test(String(name));
}
