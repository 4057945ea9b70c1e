"""What stands before the routes: origins, proxies, a path prefix."""

from __future__ import annotations

import pytest

from realtime.access.keys import new_key
from realtime.config import ServerConfig, load_config
from realtime.http.app import create_app
from tests.support.knocks import knock

KEY, SECRET = new_key("alice")
SITE = "https://talk.example"


@pytest.fixture
def app(tmp_path):
    def make(**settings):
        given = f"{KEY.name}:{KEY.hash}"
        return create_app(ServerConfig(data_dir=tmp_path, api_keys=given, **settings))

    return make


async def test_a_websocket_of_another_site_is_turned_away(tmp_path):
    app = create_app(ServerConfig(data_dir=tmp_path, api_keys=""))
    for headers, code in (
        ({"origin": "https://evil.example"}, "forbidden_origin"),
        ({"host": "evil.example"}, "forbidden_host"),
    ):
        answer = await knock(app, "WS", "/v1/realtime", headers=headers)
        assert (answer.status, answer.error["code"]) == (403, code)


async def test_sites_that_are_allowed_may_call_from_browsers(app):
    allowing = app(allowed_origins=(SITE,))
    asks = {"origin": SITE, "access-control-request-method": "PATCH"}
    asks["access-control-request-headers"] = "authorization, if-match"
    preflight = await knock(allowing, "OPTIONS", "/v1/sessions/x", headers=asks)
    assert preflight.status == 200
    assert preflight.headers["access-control-allow-origin"] == SITE
    assert "PATCH" in preflight.headers["access-control-allow-methods"]
    exposed = (
        await knock(allowing, "GET", "/v1/pipelines", bearer=SECRET, headers={"origin": SITE})
    ).headers["access-control-expose-headers"]
    assert {"Location", "ETag", "Link"} <= {name.strip() for name in exposed.split(",")}
    refused = await knock(allowing, "POST", "/v1/tokens", headers={"origin": SITE})
    assert refused.status == 401  # not 403: the origin is fine, the key is missing
    assert refused.headers["access-control-allow-origin"] == SITE
    other = {"origin": "https://evil.example"}
    answer = await knock(allowing, "POST", "/v1/tokens", bearer=SECRET, headers=other)
    assert answer.error["code"] == "forbidden_origin"
    assert "access-control-allow-origin" not in answer.headers
    closed = await knock(app(), "GET", "/v1/pipelines", bearer=SECRET, headers={"origin": SITE})
    assert "access-control-allow-origin" not in closed.headers


@pytest.mark.parametrize("page", ["http://127.0.0.1:9000", "http://localhost", "http://[::1]:1"])
async def test_pages_of_this_machine_may_call_where_nobody_else_reaches_the_server(app, page):
    asked = {"origin": page}
    answer = await knock(app(), "POST", "/v1/tokens", headers=asked)
    assert answer.status == 401  # the key is missing
    assert answer.headers["access-control-allow-origin"] == page
    for exposed in ({"public_origin": SITE}, {"trusted_proxies": ("192.0.2.1",)}):
        answer = await knock(app(**exposed), "POST", "/v1/tokens", headers=asked)
        assert answer.error["code"] == "forbidden_origin"
        assert "access-control-allow-origin" not in answer.headers
    for other in (f"{page}.evil.example", "http://localhost.evil.example", "null"):
        answer = await knock(app(), "POST", "/v1/tokens", headers={"origin": other})
        assert answer.error["code"] == "forbidden_origin"


async def test_behind_a_proxy_it_answers_for_its_public_name_and_prefix(app):
    public = app(public_origin=f"{SITE}/talk")
    named = {"host": "talk.example", "origin": SITE}
    for path in ("/v1/pipelines", "/talk/v1/pipelines"):
        answer = await knock(public, "GET", path, bearer=SECRET, headers=named)
        assert answer.status == 200
        assert (await knock(public, "GET", path, headers=named)).status == 401
    for path in ("/main.js", "/talk/main.js", "/talk/", "/"):
        assert (await knock(public, "GET", path, headers=named)).status == 200
    stranger = await knock(public, "GET", "/health", headers={"host": "evil.example"})
    assert stranger.error["code"] == "forbidden_host"
    listed = await knock(public, "GET", "/v1/avatars", bearer=SECRET, headers=named)
    assert b'"/talk/v1/avatars/' in listed.body


async def test_where_things_were_made_is_told_with_the_prefix():
    from realtime.http.prefix import Prefix

    async def made(scope, receive, send):
        where = scope["path"].encode()
        start = {"type": "http.response.start", "status": 201}
        await send(start | {"headers": [(b"location", where)]})
        await send({"type": "http.response.body"})

    for where, told in (
        ("/v1/sessions/x", "/talk/v1/sessions/x"),
        ("/talk/whip/x", "/talk/whip/x"),
        ("/talks", "/talk/talks"),
    ):
        answer = await knock(Prefix(made, "/talk"), "POST", where)
        assert answer.headers["location"] == told
        assert (await knock(Prefix(made, ""), "POST", where)).headers["location"] == where


async def test_only_a_trusted_proxy_says_for_whom_it_asks(app):
    limited = {"rate_per_address": "2/minute", "trusted_proxies": ("192.0.2.0/24",)}
    behind = app(**limited)

    async def ask(client: str, claimed: str) -> int:
        headers = {"x-forwarded-for": claimed}
        return (await knock(behind, "GET", "/v1/pipelines", client=client, headers=headers)).status

    assert [await ask("192.0.2.1", f"198.51.100.{i}") for i in range(4)] == [401] * 4
    assert [await ask("203.0.113.1", f"198.51.100.{i}") for i in range(4)] == [401, 401, 429, 429]
    # What a client says before the proxy adds to it is not believed either.
    assert await ask("192.0.2.1", "198.51.100.77, 203.0.113.1") == 429


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ('public_origin = "talk.example"', "public_origin"),
        ('public_origin = "https://talk.example/?x"', "public_origin"),
        ('trusted_proxies = ["everybody"]', "trusted_proxies"),
        ('allowed_origins = ["https://a.example/path"]', "allowed_origins"),
        ('rate_per_key = "often"', "rate_per_key"),
        ("turn_ttl_s = 1", "turn_ttl_s"),
        ("retention_days = -1", "retention_days"),
        ("audit_days = -1", "audit_days"),
    ],
)
def test_settings_that_do_not_fit(tmp_path, line, named):
    path = tmp_path / "vivavoce.toml"
    path.write_text(line)
    with pytest.raises(ValueError, match=named):
        load_config(path, {})
