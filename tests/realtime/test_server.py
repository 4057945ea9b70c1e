"""HTTP: what is answered, and how bad input is turned away."""

import io
import struct
import zlib

import pytest
from PIL import Image

from benchmarks.service.peer import AvatarClient
from tests.support.sounds import SILENCE

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def offer() -> str:
    client = AvatarClient(SILENCE)
    await client.pc.setLocalDescription(await client.pc.createOffer())
    sdp = client.pc.localDescription.sdp
    await client.close()
    return sdp


def error_of(response, status):
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert error["message"]
    return error["code"]


async def test_lists_the_cast_and_its_pictures(server):
    avatars = (await server.http.get("/v1/avatars")).json()["avatars"]
    assert len(avatars) == 2
    assert {a["kind"] for a in avatars} == {"cast"}
    picture = await server.http.get(avatars[0]["image"])
    assert picture.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(picture.content)).size == (384, 384)


async def test_small_answers(server):
    http = server.http
    assert (await http.get("/health")).json()["status"] == "ok"
    assert (await http.get("/ready")).json() == {"status": "ready"}
    assert (await http.get("/v1/ice-servers")).json() == {"ice_servers": []}
    pipeline = (await http.get("/v1/pipelines")).json()["pipelines"][0]
    assert pipeline["name"] == "portrait"
    assert {c["name"] for c in pipeline["controls"]} >= {"expression", "head_motion"}
    metrics = (await http.get("/metrics")).text
    assert "vivavoce_stage_milliseconds_bucket" in metrics
    page = await http.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert error_of(await http.get("/v1/nothing"), 404) == "not_found"


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (b"", "application/sdp", 400, None),
        (b"v=0\r\nnonsense", "application/sdp", 400, "bad_offer"),
        (b"\xff\xfe\x00", "application/sdp", 400, "bad_offer"),
        (b"{}", "application/json", 400, "bad_request"),
        (b"not json", "application/json", 400, "bad_request"),
        (b'{"sdp": 7, "type": "offer"}', "application/json", 400, "bad_request"),
        (b'{"sdp": "v=0", "type": "answer"}', "application/json", 400, "bad_request"),
        (b"v=0", "text/plain", 415, "unsupported_media_type"),
        (b"v=0", "", 415, "unsupported_media_type"),
        (b"x" * 300_000, "application/sdp", 413, "body_too_large"),
    ],
)
async def test_bad_offers(server, body, kind, status, code):
    headers = {"content-type": kind} if kind else {}
    response = await server.http.post("/v1/sessions", content=body, headers=headers)
    found = error_of(response, status)
    assert code is None or found == code
    assert not server.service.sessions


async def test_an_offer_without_audio_is_refused(server):
    sdp = await offer()
    start, end = sdp.index("m=audio"), sdp.index("m=video")
    headers = {"content-type": "application/sdp"}
    response = await server.http.post(
        "/v1/sessions", content=sdp[:start] + sdp[end:], headers=headers
    )
    assert error_of(response, 400) == "bad_offer"
    assert "audio" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"avatar": "nobody"}, 404, "unknown_avatar"),
        ({"pipeline": "dreams"}, 400, "bad_request"),
        ({"size": 300}, 400, "bad_request"),
        ({"audio": "telepathy"}, 400, "bad_request"),
    ],
)
async def test_wishes_that_cannot_be_met(server, change, status, code):
    body = {"sdp": await offer(), "type": "offer"} | change
    response = await server.http.post("/v1/sessions", json=body)
    assert error_of(response, status) == code


async def test_unknown_session(server):
    for call in (server.http.get, server.http.delete):
        assert error_of(await call("/v1/sessions/none"), 404) == "unknown_session"
    response = await server.http.patch("/v1/sessions/none", json={"avatar": "x"})
    assert error_of(response, 404) == "unknown_session"


async def test_a_declared_huge_body_is_not_read(server):
    async def endless():
        while True:
            yield b"x" * 65536

    response = await server.http.post(
        "/v1/sessions", content=endless(), headers={"content-type": "application/sdp"}
    )
    assert error_of(response, 413) == "body_too_large"


async def test_other_sites_and_foreign_hosts_are_turned_away(server):
    foreign = {"origin": "https://evil.example"}
    response = await server.http.delete("/v1/sessions/x", headers=foreign)
    assert error_of(response, 403) == "forbidden_origin"
    response = await server.http.get("/health", headers={"host": "evil.example"})
    assert error_of(response, 403) == "forbidden_host"


def bomb() -> bytes:
    """A PNG header that promises 60000 x 60000 pixels."""
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + head
    return (
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    )


def plain_png() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (400, 400), (90, 120, 150)).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(
    ("photo", "code"),
    [
        (b"this is no picture at all", None),
        (b"", None),
        (bomb(), "image_too_large"),
        (plain_png(), "no_face"),
        (plain_png()[:200], "not_an_image"),
    ],
)
async def test_photos_that_cannot_become_avatars(server, photo, code):
    response = await server.http.post(
        "/v1/avatars", files={"image": ("me.png", photo)}, data={"name": "Me"}
    )
    found = error_of(response, 422)
    assert code is None or found == code
    assert len(server.service.avatars.list()) == 2


async def test_uploads_of_the_wrong_form(server):
    http = server.http
    assert error_of(await http.post("/v1/avatars", json={}), 415) == "unsupported_media_type"
    response = await http.post("/v1/avatars", files={"photo": ("a.png", plain_png())})
    assert error_of(response, 422) == "avatar_rejected"
    huge = {"image": ("a.png", b"\x89PNG" + bytes(17_000_000))}
    assert error_of(await http.post("/v1/avatars", files=huge), 413) == "body_too_large"


async def test_an_upload_becomes_an_avatar_and_can_be_deleted(server, cast_dir):
    photo = next(cast_dir.glob("*.png")).read_bytes()
    response = await server.http.post(
        "/v1/avatars", files={"image": ("me.png", photo, "image/png")}, data={"name": "Étienne 2"}
    )
    assert response.status_code == 201, response.text
    made = response.json()
    assert made["name"] == "Étienne 2"
    where = response.headers["location"]
    assert (await server.http.get(where)).json() == made
    assert (await server.http.get(made["image"])).status_code == 200
    assert (await server.http.delete(where)).status_code == 204
    assert error_of(await server.http.get(where), 404) == "unknown_avatar"
    cast = server.service.avatars.list()[0]  # shares the features by content, and keeps them
    key = await server.service.avatars.ensure(cast)
    assert (server.service.avatars.identities / f"{key}.safetensors").exists()


async def test_the_cast_cannot_be_deleted(server):
    avatar = server.service.avatars.list()[0]
    assert error_of(await server.http.delete(f"/v1/avatars/{avatar.id}"), 422)
