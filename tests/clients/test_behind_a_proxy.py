"""The page in Chromium, under a path and a public name: by nginx or Caddy, media by coturn."""

from __future__ import annotations

import json
import socket
import urllib.request

import pytest

from realtime.access.keys import new_key
from tests.support.pages import MARKS, PATIENCE_S, serving
from tests.support.proxies import NAME, SECRET, caddy, coturn, nginx

pytestmark = [*MARKS]

KEY, SECRET_KEY = new_key("tester")
FLAGS = (f"--host-resolver-rules=MAP {NAME} 127.0.0.1", "--ignore-certificate-errors")
RELAY_ONLY = """
  (() => {
    const Plain = window.RTCPeerConnection;
    window.RTCPeerConnection = class extends Plain {
      constructor(config) {
        const wanted = sessionStorage.getItem("transport");
        const iceServers = config.iceServers.map((server) => ({
          ...server, urls: [server.urls].flat().filter((url) => RegExp(wanted ?? "").test(url)),
        }));
        super({ ...config, iceServers, iceTransportPolicy: "relay" });
      }
    };
  })()
"""
EXPIRED = """
  async ([url, username, credential]) => {
    const pc = new RTCPeerConnection({ iceServers: [{ urls: url, username, credential }] });
    pc.createDataChannel("x");
    const failed = new Promise((resolve) => (pc.onicecandidateerror = (e) => resolve(e.errorCode)));
    await pc.setLocalDescription();
    const code = await failed;
    pc.close();
    return code;
  }
"""


@pytest.fixture(scope="module")
def turn(tmp_path_factory):
    with coturn(tmp_path_factory.mktemp("turn")) as running:
        yield running


@pytest.fixture(scope="module")
def running(tmp_path_factory, turn):
    folder = tmp_path_factory.mktemp("server")
    (folder / "secret").write_text(SECRET)
    settings = (
        f"ice_urls = {json.dumps(list(turn.urls.values()))}\n"
        f'turn_secret_file = "{folder / "secret"}"\n'
        f'api_keys = "{KEY.name}:{KEY.hash}"'
    )
    flags = ("--public-origin", f"https://{NAME}/talk", "--trusted-proxy", "127.0.0.1")
    with serving(folder, *flags, settings=settings) as process:
        yield process


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    from benchmarks.service.browser import chromium
    from benchmarks.service.signals import clicks_and_vowels, write_wav

    sound = write_wav(tmp_path_factory.mktemp("sound") / "mic.wav", clicks_and_vowels(20))
    with chromium(sound, *FLAGS) as browser:
        yield browser


@pytest.fixture(scope="module", params=[nginx, caddy], ids=["nginx", "caddy"])
def root(request, tmp_path_factory, running):
    """The page's public address."""
    with request.param(tmp_path_factory.mktemp("proxy"), running.port) as port:
        yield f"https://{NAME}:{port}/talk"


@pytest.fixture
def page(browser):
    context = browser.new_context(ignore_https_errors=True, bypass_csp=True)
    page = context.new_page()
    page.set_default_timeout(PATIENCE_S * 1000)
    page.add_init_script(RELAY_ONLY)
    yield page
    context.close()


def token(running) -> str:
    """Minted for a visitor."""
    request = urllib.request.Request(
        f"{running.url}/v1/tokens",
        b'{"scopes": ["open", "control"], "expires_s": 3600}',
        {"Authorization": f"Bearer {SECRET_KEY}"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return str(json.load(answer)["token"])


def used_transports(page) -> list[dict]:
    """Of the pair of candidates in use."""
    return page.evaluate(
        """async () => {
          const reports = [...(await window.vivavoce.pc.getStats()).values()];
          const pairs = reports.filter((r) => r.type === "candidate-pair" && r.nominated);
          const pair = pairs.find((r) => r.bytesReceived);
          return reports.filter((r) => r.id === pair?.localCandidateId)
            .map((r) => [r.candidateType, r.relayProtocol]);
        }"""
    )


def talk_once(page) -> None:
    page.click("#start")
    page.wait_for_function("['live', 'failed'].includes(window.vivavoce.state)")
    assert page.evaluate("window.vivavoce.state") == "live", page.inner_text("#error")


def test_a_visitor_with_a_link_talks_by_the_relay(page, running, root):
    page.goto(f"{root}#token={token(running)}")  # without a slash at the end
    page.wait_for_function("window.vivavoce?.state === 'ready'")
    page.wait_for_function("document.querySelectorAll('#gallery img').length >= 3")
    page.wait_for_function(
        "[...document.querySelectorAll('#gallery img')].every((i) => i.naturalWidth > 0)"
    )
    assert "token" not in page.url
    for transport, protocol in (
        ("^turn:.*=udp", "udp"),
        ("^turn:.*=tcp", "tcp"),
        ("^turns:", "tls"),
    ):
        page.evaluate("(t) => sessionStorage.setItem('transport', t)", transport)
        talk_once(page)
        page.wait_for_function("window.vivavoce.events.some((e) => e.type === 'stats')")
        assert used_transports(page) in ([["relay", protocol]], [["relay", "tcp"]])
        page.click("#start")
        page.wait_for_function("window.vivavoce.state === 'ready'")


def test_a_visitor_without_one_is_asked_for_a_key(page, root):
    page.goto(f"{root}/")
    page.wait_for_function("document.querySelector('#key-dialog').open")
    page.fill("#key-field", "sk-vv-wrong")
    page.keyboard.press("Enter")
    page.wait_for_function("!document.querySelector('#key-error').hidden")
    page.fill("#key-field", SECRET_KEY)
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelectorAll('#gallery img').length >= 3")
    kept = page.evaluate("sessionStorage.getItem('vivavoce.token')")
    assert kept.startswith("vt-")  # the key itself is not kept


def test_a_websocket_without_a_key_is_refused(running):
    handshake = (
        f"GET /v1/realtime HTTP/1.1\r\nHost: {NAME}\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", running.port), timeout=PATIENCE_S) as connection:
        connection.sendall(handshake.encode())
        answer = connection.recv(4096).decode()
    assert answer.startswith("HTTP/1.1 401")
    assert "www-authenticate: bearer" in answer.lower()


def test_expired_credentials_get_no_relay(page, root, turn):
    from realtime.access.turn import IceServers

    page.goto(f"{root}/")
    url = turn.urls["udp"]
    [expired] = IceServers((url,), SECRET, -5).describe()
    asked = [url, expired["username"], expired["credential"]]
    assert page.evaluate(EXPIRED, asked) == 401
