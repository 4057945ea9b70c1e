/**
 * vivavoce in any page: `<vivavoce-avatar>`, and what it is made of.
 *
 *   <script type="module" src="SERVER/client/vivavoce.js"></script>
 *   <vivavoce-avatar avatar="NAME"></vivavoce-avatar>
 *
 * No build step and no dependencies; the product page is made of the same modules.
 */
import { AvatarElement } from "./avatar_element.js";

export { Api } from "./api.js";
export { AvatarElement } from "./avatar_element.js";
export { ClientError } from "./errors.js";
export { Microphone } from "./microphone.js";
export { Peer } from "./peer.js";
export { ClientEvent, ServerEvent } from "./protocol.js";
export { Session } from "./session.js";
export { Speech, openSpeech } from "./speech.js";
export { WhepViewer } from "./whep_viewer.js";

if (!customElements.get("vivavoce-avatar")) customElements.define("vivavoce-avatar", AvatarElement);
