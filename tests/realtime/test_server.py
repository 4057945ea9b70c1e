"""HTTP: what is answered, and how bad input is turned away."""

import errno
import io
import struct
import zlib

import httpx
import pytest
from PIL import Image

from benchmarks.service.peer import AvatarClient
from pipelines.pipeline import NeedsWeights
from pipelines.registry import find_system
from realtime.avatars import uploads
from realtime.http.app import create_app
from realtime.server import Server
from tests.support.sounds import SILENCE

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def offer() -> str:
    client = AvatarClient(SILENCE)
    sdp = await client.offer()
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


@pytest.mark.parametrize("damaged", [b"", b"half", b"noise", b"flipped"])
async def test_damaged_pictures_are_drawn_again(server, config, damaged):
    [first, *_] = (await server.http.get("/v1/avatars")).json()["avatars"]
    links = [first["image"], f"/v1/avatars/{first['id']}/preview"]
    before = [(await server.http.get(link)).content for link in links]
    assert before[0].startswith(b"\xff\xd8")
    assert before[1].startswith(b"RIFF")
    pictures = [*config.data_dir.glob("pictures/*.jpg"), *config.identities_dir.glob("*.webp")]
    assert len(pictures) >= 2
    for path in pictures:
        kept = bytearray(path.read_bytes())
        kept[len(kept) // 2] ^= 1
        changed = {b"half": kept[: len(kept) // 2], b"noise": bytes(1000), b"flipped": kept}
        path.write_bytes(changed.get(damaged, b""))
    after = [(await server.http.get(link)).content for link in links]
    assert after[0] == before[0]
    assert len(after[1]) == len(before[1])


async def test_small_answers(server):
    http = server.http
    assert (await http.get("/health")).json()["status"] == "ok"
    assert (await http.get("/ready")).json() == {"status": "ready"}
    assert (await http.get("/v1/ice-servers")).json() == {"ice_servers": []}
    metrics = (await http.get("/metrics")).text
    assert "vivavoce_stage_milliseconds_bucket" in metrics
    page = await http.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert error_of(await http.get("/v1/nothing"), 404) == "not_found"
    assert error_of(await http.get("/redoc"), 404) == "not_found"


async def test_pipelines_are_described_whether_they_are_loaded_or_not(server):
    first, *others = (await server.http.get("/v1/pipelines")).json()["pipelines"]
    system = find_system("portrait")
    assert (first["name"], first["loaded"], first["state"]) == ("portrait", True, "ready")
    assert first["sizes"] == [list(size) for size in system.sizes]
    assert first["size"] == [256, 256]
    assert first["frame"] == "square"
    assert [(each["name"], each["size"]) for each in first["frames"]] == [
        ("square", [256, 256]),
        ("photo", [456, 256]),
        ("16:9", [640, 360]),
    ]
    assert (first["accepts"], first["keeps_video"]) == (["photo", "video"], False)
    assert first["motion_names"] == list(system.motion_names)
    assert [(c["name"], c["max"]) for c in first["controls"]] == [
        (c.name, c.high) for c in system.controls
    ]
    [anitalker] = [other for other in others if other["name"] == "anitalker"]
    assert (anitalker["loaded"], anitalker["state"]) == (False, "not loaded")
    swaptalk = find_system("swaptalk")
    assert isinstance(swaptalk, NeedsWeights)
    offered = "swaptalk" in {other["name"] for other in others}
    assert offered == (not swaptalk.missing(swaptalk.Options()))


async def test_health_tells_of_the_engine(server):
    said = (await server.http.get("/health")).json()
    assert (said["status"], said["engine"]["state"]) == ("ok", "ready")
    assert said["engine"]["restarts"] == 0
    portrait = said["pipelines"]["portrait"]
    assert (portrait["state"], portrait["size"]) == ("ready", [256, 256])
    assert portrait["first_size"] == [256, 256]  # there is no smaller one
    assert set(portrait["costs"]) == {"motion", "draw 256x256", "draw 512x512", "draw 720x720"}
    assert portrait["costs"]["motion"] == said["costs"]["portrait motion"]
    assert set(said["machine"]) == {"matmul_gflops", "add_us", "cores"}
    assert min(said["machine"].values()) > 0
    backend = said["backends"]["portrait"]
    assert backend.keys() == {"name", "torch_ms", "onnxruntime_ms"}
    assert backend[f"{backend['name']}_ms"] == min(backend["torch_ms"], backend["onnxruntime_ms"])


async def test_every_answer_says_what_a_browser_should_refuse(server):
    for path in ("/health", "/v1/nothing", "/"):
        headers = (await server.http.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "frame-ancestors" in headers["content-security-policy"]


async def test_head_is_get_without_a_body(server):
    for path in ("/health", "/v1/avatars", "/"):
        answer = await server.http.head(path)
        assert answer.status_code == 200
        assert answer.content == b""


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
        ({"pipeline": "dreams"}, 404, "unknown_pipeline"),
        ({"pipeline": "anitalker"}, 503, "pipeline_not_loaded"),
        ({"size": 300}, 400, "bad_request"),
        ({"size": "512x256"}, 400, "bad_request"),
        ({"frame": "round"}, 400, "bad_request"),
        ({"frame": "16:9", "size": "512x512"}, 400, "bad_request"),
        ({"audio": "telepathy"}, 400, "bad_request"),
    ],
)
async def test_wishes_that_cannot_be_met(server, change, status, code):
    body = {"sdp": await offer(), "type": "offer"} | change
    response = await server.http.post("/v1/sessions", json=body)
    assert error_of(response, status) == code


async def test_an_unknown_frame_is_named_beside_the_known_ones(server):
    body = {"sdp": await offer(), "type": "offer", "frame": "round"}
    response = await server.http.post("/v1/sessions", json=body)
    assert error_of(response, 400) == "bad_request"
    said = response.json()["error"]["message"]
    assert said == "frame = 'round': the pipeline 'portrait' draws square, photo, 16:9"


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
    malformed = {"origin": "http://[::1"}
    response = await server.http.delete("/v1/sessions/x", headers=malformed)
    assert error_of(response, 403) == "forbidden_origin"
    response = await server.http.get("/health", headers={"host": "evil.example"})
    assert error_of(response, 403) == "forbidden_host"
    response = await server.http.get("/health", headers={"host": "LOCALHOST:8080"})
    assert response.status_code == 200


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
    video = {"video": ("a.mp4", b"\x00\x00\x00\x18ftypisom" + bytes(64))}
    response = await http.post("/v1/avatars", files=video, data={"pipeline": "anitalker"})
    assert error_of(response, 422) == "unsuited_material"
    assert "'anitalker' makes avatars of photo" in response.json()["error"]["message"]
    huge = {"image": ("a.png", plain_png() + bytes(34_000_000))}
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
    picture = await server.http.get(made["image"])
    assert picture.status_code == 200
    assert "no-cache" in picture.headers["cache-control"]
    known = {"if-none-match": picture.headers["etag"]}
    assert (await server.http.get(made["image"], headers=known)).status_code == 304
    assert (await server.http.delete(where)).status_code == 204
    assert error_of(await server.http.get(where), 404) == "unknown_avatar"
    cast = server.service.avatars.list()[0]  # shares the features by content, and keeps them
    key = await server.service.avatars.ensure(cast, "portrait")
    assert (server.service.avatars.identities / f"{key}.safetensors").exists()


async def test_the_cast_cannot_be_deleted(server):
    avatar = server.service.avatars.list()[0]
    assert error_of(await server.http.delete(f"/v1/avatars/{avatar.id}"), 422)


async def test_what_nobody_foresaw_is_told_in_our_form(server, monkeypatch):
    monkeypatch.setattr(server.service, "describe_health", lambda: 1 / 0)
    response = await server.http.get("/health")
    assert error_of(response, 500) == "internal_error"


async def test_a_full_disk_is_507(server, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(uploads, "copy_durably", full)
    response = await server.http.post("/v1/avatars", files={"image": ("me.png", plain_png())})
    assert error_of(response, 507) == "storage_unavailable"


async def test_before_it_has_started_it_says_so(config):
    service = Server(config)
    transport = httpx.ASGITransport(create_app(config, service), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        offered = await http.post("/v1/sessions", json={"sdp": "v=0", "type": "offer"})
        for response in (await http.get("/ready"), offered, await http.post("/v1/avatars")):
            assert error_of(response, 503) == "starting"
            assert int(response.headers["retry-after"]) > 0
        assert (await http.get("/health")).json()["status"] == "starting"
        assert (await http.get("/v1/avatars")).status_code == 200
        service.failure = "no weights"
        response = await http.get("/health")
        assert (response.status_code, response.json()["reason"]) == (503, "no weights")
        assert error_of(await http.get("/ready"), 503) == "engine_unavailable"
    await service.stop()


async def test_what_stops_it_from_starting_is_told(config, monkeypatch):
    service = Server(config)

    async def broken():
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr(service.avatars, "resume", broken)
    with pytest.raises(RuntimeError):
        await service.start()
    assert service.describe_health()[0] is False
    assert "nobody foresaw this" in service.failure
    await service.stop()
