"""Who may do what: every call of the table against every kind of caller."""

from __future__ import annotations

import asyncio
import json
import stat
from datetime import timedelta

import pytest
from fastapi.routing import APIRoute, APIWebSocketRoute
from starlette.routing import Mount, Route

from realtime.access.audit import AuditLog
from realtime.access.caller import LOCAL, SCOPES, Caller, acting, caller
from realtime.access.credentials import utc_now
from realtime.access.gate import Gate
from realtime.access.keys import KeyFile, Keys, new_key
from realtime.access.table import ANY, GUARDED, KEY, PUBLIC, TABLE, find_call
from realtime.access.tokens import Tokens
from realtime.config import ServerConfig
from realtime.errors import BadRequest, InsufficientScope, TooManyRequests, UnknownSession
from realtime.http.access import SUBPROTOCOL, Access
from realtime.http.app import create_app
from realtime.open_sessions import OpenSessions
from tests.support.fakes import ManualClock
from tests.support.knocks import knock
from tests.support.sessions import Stage, staged
from tests.support.streams import Viewer

ALICE, BOB = new_key("alice"), new_key("bob")
GIVEN = " ".join(f"{key.name}:{key.hash}" for key, _ in (ALICE, BOB))
SESSION = {"alice": "session-of-alice", "bob": "session-of-bob"}
CALLS = sorted(TABLE.items(), key=str)
NAMES = [" ".join(call) for call, _ in CALLS]


async def answer_all(scope, receive, send):
    """An application that does whatever it is asked."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": caller().owner.encode()})


class House:
    """The gate with two keys and a session of each, before an application that asks nothing."""

    def __init__(self, folder, **settings):
        unlimited = {"rate_per_address": "100000/second", "rate_wrong_keys": "100000/second"}
        config = ServerConfig(data_dir=folder, api_keys=GIVEN, **(unlimited | settings))
        self.clock = ManualClock()
        self.gate = Gate(config, self.clock)
        self.app = Access(answer_all, self.gate, self.find)
        self.keys = self.gate.keys.all()
        self.alice, self.bob = (
            next(key.caller for key in self.keys.values() if key.name == name)
            for name in ("alice", "bob")
        )

    def find(self, session):
        owner = next((name for name, id in SESSION.items() if id == session), None)
        if owner is None or not caller().may_reach(session, owner):
            raise UnknownSession(f"no session {session!r}")

    def token(self, who=None, scopes=SCOPES, session=None, expires_s=60):
        return self.gate.tokens.mint(who or self.alice, scopes, expires_s, session).secret


@pytest.fixture
def house(tmp_path):
    return House(tmp_path)


def place(pattern: str, owner: str = "alice") -> str:
    return pattern.replace("{session}", SESSION[owner]).replace("{", "").replace("}", "")


@pytest.mark.parametrize(("call", "need"), CALLS, ids=NAMES)
async def test_every_call_and_every_caller(house, call, need):
    method, pattern = call
    path = place(pattern)
    granted = 101 if method == "WS" else 200
    if need == PUBLIC:
        assert (await knock(house.app, method, path)).status == granted
        return
    expired = house.token(expires_s=10)
    house.clock.jump(11)
    refused = [
        await knock(house.app, method, path, bearer=shown)
        for shown in (None, "", "sk-vv-wrong", "vt-wrong", "wrong", expired, ALICE[1][:-1])
    ]
    assert {answer.status for answer in refused} == {401}
    assert len({(a.body, tuple(a.headers.items())) for a in refused}) == 1  # nothing tells why
    assert refused[0].headers["www-authenticate"].startswith("Bearer")
    assert (await knock(house.app, method, path, bearer=ALICE[1])).status == granted
    full = await knock(house.app, method, path, bearer=house.token())
    assert full.status == (403 if need == KEY else granted)
    if isinstance(need, frozenset):
        for scope in SCOPES:
            answer = await knock(house.app, method, path, bearer=house.token(scopes={scope}))
            assert answer.status == (granted if scope in need else 403)
        if need < SCOPES:
            lacking = house.token(scopes=SCOPES - need)
            answer = await knock(house.app, method, path, bearer=lacking)
            assert answer.error["code"] == "insufficient_scope"


@pytest.mark.parametrize(
    ("call", "need"),
    [each for each in CALLS if "{session}" in each[0][1]],
    ids=[name for name in NAMES if "{session}" in name],
)
async def test_another_ones_session_is_as_if_it_did_not_exist(house, call, need):
    method, pattern = call
    if not need & {"view", "push", "control"}:
        pytest.skip("no token of one session can have its scopes")
    granted = 101 if method == "WS" else 200
    own, other = place(pattern), place(pattern, "bob")
    nowhere = pattern.replace("{session}", "none").replace("{", "").replace("}", "")
    bound = house.token(scopes=frozenset({"view", "push", "control"}), session=SESSION["alice"])
    for shown in (ALICE[1], house.token(), bound):
        assert (await knock(house.app, method, own, bearer=shown)).status == granted
        foreign = await knock(house.app, method, other, bearer=shown)
        missing = await knock(house.app, method, nowhere, bearer=shown)
        assert (foreign.status, missing.status) == (404, 404)
        blank = [a.body.replace(b"session-of-bob", b"none") for a in (foreign, missing)]
        assert blank[0] == blank[1]
        assert foreign.headers.keys() == missing.headers.keys()
    elsewhere = house.token(
        house.bob, scopes=frozenset({"view", "push", "control"}), session=SESSION["bob"]
    )
    assert (await knock(house.app, method, own, bearer=elsewhere)).status == 404


async def test_an_unknown_call_is_refused(house):
    for path in ("/v1/nothing", "/v1/sessions/a/b/c", "/whip", "/api/other"):
        assert (await knock(house.app, "GET", path)).status == 401
        answer = await knock(house.app, "GET", path, bearer=ALICE[1])
        assert (answer.status, answer.error["code"]) == (404, "not_found")
    assert (await knock(house.app, "PUT", "/v1/avatars", bearer=ALICE[1])).status == 404
    assert (await knock(house.app, "GET", "/style.css")).status == 200


def walk(routes, prefix=""):
    """Every call that an application has routes for."""
    for route in routes:
        if isinstance(route, APIWebSocketRoute):
            yield "WS", prefix + route.path
        elif isinstance(route, APIRoute | Route):
            yield from ((method, prefix + route.path) for method in route.methods - {"HEAD"})
        elif hasattr(route, "original_router"):  # FastAPI keeps an included router as it is
            inside = prefix + route.include_context.prefix
            yield from walk(route.original_router.routes, inside)
        else:
            assert isinstance(route, Mount), route
            assert route.path == "", "only the page's files may be mounted"


def test_every_route_is_in_the_table(tmp_path):
    app = create_app(ServerConfig(data_dir=tmp_path))
    calls = list(walk(app.routes))
    assert ("POST", "/v1/sessions") in calls
    assert ("GET", "/v1/avatars/{avatar_id}/image") in calls
    for method, path in calls:
        call = find_call(method, path)
        assert call is not None, f"{method} {path} is missing in realtime/access/table.py"
        known = any(path == prefix or path.startswith(f"{prefix}/") for prefix in GUARDED)
        assert known or (method, path) in TABLE, (
            f"{path} is not below realtime.access.table.GUARDED"
        )


def test_session_ids_are_named_so_in_the_table():
    """Else nobody would look whose session it is."""
    for (_, pattern), need in TABLE.items():
        parts = pattern.split("/")
        if "sessions" in parts[:-1] or "whep" in parts[:-1]:
            assert "{session}" in pattern
        assert need in (PUBLIC, ANY, KEY) or need <= SCOPES


async def test_on_loopback_without_a_key_nothing_is_asked(tmp_path):
    gate = Gate(ServerConfig(data_dir=tmp_path, api_keys=""), ManualClock())
    app = Access(answer_all, gate, lambda session: None)
    gate.check()
    for (method, pattern), _ in CALLS:
        answer = await knock(app, method, place(pattern))
        assert answer.status in (101, 200)
    assert (await knock(app, "GET", "/v1/nothing", bearer="whatever")).status == 200


@pytest.mark.parametrize(
    "settings",
    [
        {"host": "0.0.0.0", "allow_remote": True},
        {"public_origin": "https://example.org"},
        {"trusted_proxies": ("10.0.0.0/8",)},
    ],
)
async def test_whoever_can_be_reached_by_others_asks_for_a_key(tmp_path, settings):
    gate = Gate(ServerConfig(data_dir=tmp_path, **settings), ManualClock())
    with pytest.raises(ValueError, match="vivavoce keys create"):
        gate.check()
    app = Access(answer_all, gate, lambda session: None)
    assert (await knock(app, "POST", "/v1/sessions")).status == 401


async def test_keys_are_made_noticed_and_revoked(tmp_path):
    gate = Gate(ServerConfig(data_dir=tmp_path, api_keys=""), ManualClock())
    app = Access(answer_all, gate, lambda session: None)
    file = KeyFile(tmp_path)
    assert (await knock(app, "POST", "/v1/sessions")).status == 200
    key, secret = file.create("carol", frozenset({"open"}))
    assert secret not in file.path.read_text()
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    with pytest.raises(ValueError, match="carol"):
        file.create("carol")
    assert (await knock(app, "POST", "/v1/sessions")).status == 401
    answer = await knock(app, "POST", "/v1/sessions", bearer=secret)
    assert (answer.status, answer.body) == (200, b"carol")
    assert (await knock(app, "POST", "/v1/avatars", bearer=secret)).status == 403
    gate.keys.write_used()
    assert file.used().keys() == {key.id}
    token = gate.tokens.mint(key.caller, frozenset({"open"}), 60).secret
    assert (await knock(app, "POST", "/v1/sessions", bearer=token)).status == 200
    file.revoke("carol")
    for shown in (secret, token, None):  # that it was the last one opens nothing
        assert (await knock(app, "POST", "/v1/sessions", bearer=shown)).status == 401


def test_a_damaged_file_of_keys_is_told(tmp_path):
    file = KeyFile(tmp_path)
    file.create("carol")
    file.path.write_text("{")
    with pytest.raises(ValueError, match=r"keys\.json is damaged"):
        Keys(tmp_path).all()
    with pytest.raises(ValueError, match="NAME:SHA256"):
        Keys(tmp_path, "carol")


def test_tokens_give_no_more_than_their_key(house):
    tokens, weak = Tokens(house.clock.now), Caller(kind="key", key="k", scopes=frozenset({"view"}))
    for scopes in ({"open"}, {"view", "push"}, set()):
        with pytest.raises(BadRequest, match="scopes"):
            tokens.mint(weak, frozenset(scopes), 60)
    for expires_s in (0, 9, 86_401, -5):
        with pytest.raises(BadRequest, match="expires_s"):
            tokens.mint(weak, frozenset({"view"}), expires_s)
    with pytest.raises(BadRequest, match="one session"):
        tokens.mint(house.alice, frozenset({"open"}), 60, "x")


async def test_who_has_a_token_lets_others_watch_and_no_more(house):
    tokens, session = house.gate.tokens, SESSION["alice"]
    visitor = house.token(scopes=frozenset({"open"}), expires_s=100)
    who = tokens.find(visitor)
    link = tokens.mint(who, frozenset({"view"}), 3600, session).secret
    watching = tokens.find(link)
    assert (watching.scopes, watching.session, watching.owner) == ({"view"}, session, "alice")
    for scopes, bound in (({"view"}, None), ({"view", "push"}, session), ({"open"}, None)):
        with pytest.raises(InsufficientScope):
            tokens.mint(who, frozenset(scopes), 60, bound)
    speaker = tokens.find(house.token(scopes=frozenset({"push"})))
    with pytest.raises(InsufficientScope):
        tokens.mint(speaker, frozenset({"view"}), 60, session)
    for _ in range(49):
        tokens.mint(who, frozenset({"view"}), 60, session)
    with pytest.raises(TooManyRequests):
        tokens.mint(who, frozenset({"view"}), 60, session)
    tokens.revoke(visitor)
    assert tokens.find(link) is None
    again = tokens.find(house.token(scopes=frozenset({"control"}), expires_s=100))
    link = tokens.mint(again, frozenset({"view"}), 3600, session).secret
    house.clock.jump(99)
    assert tokens.find(link) is not None
    house.clock.jump(2)  # with the one that it came from
    assert tokens.find(link) is None


async def test_a_ticket_opens_one_socket_once(house):
    path = place("/v1/sessions/{session}/audio")

    def ticket(session=SESSION["alice"]):
        return f"ticket={house.gate.tokens.mint_ticket(house.alice, session).secret}"

    once = ticket()
    assert (await knock(house.app, "WS", path, query=once)).status == 101
    assert (await knock(house.app, "WS", path, query=once)).status == 401
    assert (await knock(house.app, "WS", path, query=ticket("another"))).status == 404
    assert (await knock(house.app, "GET", "/v1/pipelines", query=ticket())).status == 401
    assert (await knock(house.app, "WS", "/v1/realtime", query=ticket())).status == 403
    late = ticket()
    house.clock.jump(31)
    assert (await knock(house.app, "WS", path, query=late)).status == 401


async def test_a_token_in_an_address_lets_watch_and_no_more(house):
    query = f"token={house.token()}"
    whep = place("/whep/{session}")
    assert (await knock(house.app, "POST", whep, query=query)).status == 200
    for method, path in (("POST", "/v1/sessions"), ("DELETE", place("/v1/sessions/{session}"))):
        assert (await knock(house.app, method, path, query=query)).status == 403
    assert (await knock(house.app, "POST", whep, query=f"token={ALICE[1]}")).status == 401


async def test_openai_in_a_browser_sends_its_key_as_a_subprotocol(house):
    offered = ("realtime", SUBPROTOCOL + ALICE[1])
    assert (await knock(house.app, "WS", "/v1/realtime", subprotocols=offered)).status == 101
    offered = ("realtime", SUBPROTOCOL + "wrong")
    assert (await knock(house.app, "WS", "/v1/realtime", subprotocols=offered)).status == 401


async def test_a_preflight_needs_no_key_and_an_options_request_does(house):
    preflight = {"origin": "https://a.example", "access-control-request-method": "POST"}
    path = place("/whep/{session}")
    assert (await knock(house.app, "OPTIONS", path, headers=preflight)).status == 200
    assert (await knock(house.app, "OPTIONS", path)).status == 401


async def test_too_many_calls_are_told_to_wait(tmp_path):
    house = House(tmp_path, rate_per_key="5/minute", rate_per_address="20/minute")
    statuses = [
        (await knock(house.app, "GET", "/v1/pipelines", bearer=ALICE[1])).status for _ in range(7)
    ]
    assert statuses == [200] * 5 + [429] * 2
    answer = await knock(house.app, "GET", "/v1/pipelines", bearer=ALICE[1])
    assert answer.error["code"] == "too_many_requests"
    assert 1 <= int(answer.headers["retry-after"]) <= 120
    assert (await knock(house.app, "GET", "/v1/pipelines", bearer=BOB[1])).status == 200
    line = ("2001:db8::1", "2001:db8::2")  # one line's addresses
    codes = [
        (await knock(house.app, "GET", "/v1/pipelines", client=line[i % 2])).status
        for i in range(22)
    ]
    assert codes == [401] * 20 + [429] * 2


async def test_an_address_that_tries_keys_is_not_heard_for_a_while(tmp_path):
    house = House(tmp_path, rate_wrong_keys="4/minute")
    wrong = [
        (await knock(house.app, "GET", "/v1/pipelines", bearer=f"sk-vv-{i}")).status
        for i in range(6)
    ]
    assert wrong == [401] * 4 + [429] * 2
    assert (await knock(house.app, "GET", "/v1/pipelines", bearer=ALICE[1])).status == 429
    elsewhere = await knock(house.app, "GET", "/v1/pipelines", bearer=ALICE[1], client="192.0.2.9")
    assert elsewhere.status == 200


async def test_the_audit_log_says_who_did_what_and_holds_no_secret(house, tmp_path):
    token = house.token()
    await knock(house.app, "POST", "/v1/sessions", bearer=ALICE[1], query="token=oops")
    await knock(house.app, "DELETE", place("/v1/sessions/{session}"), bearer=token)
    await knock(house.app, "WS", "/v1/realtime", bearer=token)
    await knock(house.app, "POST", "/v1/avatars", bearer="sk-vv-guess")
    await knock(house.app, "GET", "/v1/pipelines", bearer=token)  # only asks
    await house.gate.audit.write()
    [path] = (tmp_path / "audit").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["what"], line.get("who"), line["status"]) for line in lines] == [
        ("POST /v1/sessions", "alice", 200),
        ("DELETE /v1/sessions/{session}", "alice", 200),
        ("WS /v1/realtime", "alice", 101),
        ("POST /v1/avatars", None, 401),
    ]
    assert lines[1]["session"] == SESSION["alice"]
    assert lines[1]["by"] == "token"
    for secret in (ALICE[1], token, "sk-vv-guess", "oops"):
        assert secret not in path.read_text()


async def test_without_keys_there_is_no_audit_log(tmp_path):
    def find_none(session):
        raise UnknownSession(f"no session {session!r}")

    gate = Gate(ServerConfig(data_dir=tmp_path, api_keys=""), ManualClock())
    app = Access(answer_all, gate, find_none)
    assert (await knock(app, "POST", "/v1/sessions")).status == 200
    # A window of OBS asks every few seconds, for as long as it is open.
    assert (await knock(app, "OPTIONS", "/whep/ended")).status == 404
    await gate.audit.write()
    assert not (tmp_path / "audit").exists()


async def test_audit_lines_have_an_end(tmp_path):
    today = utc_now().date()
    for days in range(5):
        (tmp_path / f"{today - timedelta(days=days)}.jsonl").write_text("{}\n")
    (tmp_path / "mine.jsonl").touch()
    await AuditLog(tmp_path, days=2).write()
    kept = {path.stem for path in tmp_path.iterdir()} - {"mine"}
    assert kept == {str(today - timedelta(days=days)) for days in range(3)}
    assert (tmp_path / "mine.jsonl").exists()
    silent = AuditLog(tmp_path / "none", days=0)
    silent.note("POST /", None, "")
    await silent.write()
    assert not (tmp_path / "none").exists()


async def watched(app, guesses: int) -> tuple[list[float], list[int], list[int]]:
    """What a viewer of a session sees while so many wrong keys are tried beside it."""
    async with staged() as stage:
        viewer = Viewer(stage.session.stream, stage.clock)
        reading = asyncio.create_task(viewer.read())
        await stage.watch()
        for hop in range(50):
            for guess in range(guesses // 50):
                bearer = f"sk-vv-{hop}-{guess}"
                assert (await knock(app, "POST", "/v1/sessions", bearer=bearer)).status == 401
            await stage.clock.advance(0.04)
    await reading
    return [round(at, 6) for at, _ in viewer.pictures], viewer.seen, viewer.heard


async def test_a_thousand_wrong_keys_change_nobodys_frames(house):
    undisturbed = await watched(house.app, 0)
    assert min(map(len, undisturbed)) > 40
    assert await watched(house.app, 1000) == undisturbed


def test_who_asks_is_known_inside_only():
    who = Caller(kind="key", owner="alice")
    assert caller() is LOCAL
    with acting(who):
        assert caller() is who
    assert caller() is LOCAL


def test_a_session_belongs_to_the_key_that_opened_it():
    alice, bob = (Caller(kind="key", owner=name, key=name) for name in ("alice", "bob"))
    sessions, session = OpenSessions(), Stage().session
    with acting(alice):
        sessions.add(session)
        assert sessions.find(session.id) is session
    assert sessions.find(session.id) is session
    said = []
    for id in (session.id, "another"):
        with acting(bob), pytest.raises(UnknownSession) as refused:
            sessions.find(id)
        said.append(str(refused.value).replace(repr(id), ""))
    assert said[0] == said[1]
    with acting(bob):
        assert not sessions.seen()
    assert len(sessions) == 1
    sessions.remove(session)
    assert len(sessions) == 0
