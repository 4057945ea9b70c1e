// Between the page of a call and the service worker; and what the user is told in that page.
// It knows nothing of the page's scripts but questions, and answers each.

(() => {
  const ASK = "vivavoce:ask";
  const ANSWER = "vivavoce:answer";
  const NOTICE_MS = 12000;

  document.addEventListener(ASK, async (event) => {
    const { number, ask } = JSON.parse(/** @type {CustomEvent} */ (event).detail);
    const answer = ask.type === "tell" ? { result: tell(String(ask.text)) } : await passOn(ask);
    document.dispatchEvent(
      new CustomEvent(ANSWER, { detail: JSON.stringify({ number, ...answer }) }),
    );
  });

  /** @param {unknown} ask */
  async function passOn(ask) {
    try {
      return await chrome.runtime.sendMessage(ask);
    } catch {
      // The extension was removed or loaded anew: this page has the real devices again.
      return { result: { on: false, first: false } };
    }
  }

  /** Shows a notice, one at a time. @param {string} text */
  function tell(text) {
    document.querySelector("vivavoce-notice")?.remove();
    const notice = document.createElement("vivavoce-notice");
    const shadow = notice.attachShadow({ mode: "closed" });
    const box = document.createElement("div");
    box.setAttribute("role", "alert");
    box.style.cssText =
      "position:fixed;z-index:2147483647;top:16px;left:50%;transform:translateX(-50%);" +
      "max-width:min(36rem,90vw);padding:12px 16px;border-radius:10px;background:#0b5d68;" +
      "color:#fff;font:15px/1.4 system-ui,sans-serif;box-shadow:0 4px 20px #0006";
    box.textContent = text;
    shadow.append(box);
    document.documentElement.append(notice);
    setTimeout(() => notice.remove(), NOTICE_MS);
  }
})();
