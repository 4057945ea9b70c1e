"""Who gets a seat, and that whoever gets none costs nothing more: nothing of an offer is read."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from realtime.access.caller import LOCAL, Caller, acting
from realtime.access.keys import KeyFile
from realtime.access.rates import CountedAddresses
from realtime.config import ServerConfig, load_config
from realtime.errors import TooManySessions
from realtime.http.app import create_app
from realtime.seats import Seat, SeatRules, rules_of
from realtime.server import Server

KEY = Caller(kind="key", owner="alice", key="a", address="192.0.2.1")
HERE, THERE = (
    Caller(kind="token", owner="alice", key="a", token="t", address=address)
    for address in ("192.0.2.1", "192.0.2.2")
)
OPENING = [
    ("POST", "/v1/sessions"),
    ("POST", "/v1/realtime/calls"),
    ("POST", "/whip/anna"),
    ("WS", "/v1/realtime"),
]


def test_an_address_is_counted_but_for_whoever_shows_a_key_itself() -> None:
    rules = SeatRules(most=8, per_address=2)
    assert rules.refusal(HERE, [HERE, THERE]) is None
    refusal = rules.refusal(HERE, [HERE, THERE, HERE])
    assert refusal is not None
    assert "this address has 2 session(s)" in str(refusal)
    assert "sessions_per_address" in str(refusal)
    assert (refusal.code, refusal.status, refusal.retry_after_s) == ("too_many_sessions", 429, 5)
    assert rules.refusal(THERE, [HERE, THERE, HERE]) is None
    assert rules.refusal(KEY, [HERE, HERE]) is None
    assert rules.refusal(HERE, [KEY, KEY, KEY]) is None
    assert rules.refusal(LOCAL, [LOCAL] * 9) is None  # its address is not counted


def test_a_key_is_counted_with_all_that_it_minted() -> None:
    rules = SeatRules(most=8, per_key=2)
    assert rules.refusal(KEY, [HERE, dataclasses.replace(HERE, key="b")]) is None
    assert "sessions_per_key" in str(rules.refusal(KEY, [HERE, THERE]))
    assert rules.refusal(LOCAL, [LOCAL] * 9) is None


def test_at_its_limit_ones_own_empty_session_gives_way_after_a_while() -> None:
    rules = SeatRules(most=8, per_address=2)
    seats = [Seat("theirs", THERE, "left"), Seat("taken", HERE), Seat("fresh", HERE, "awaited")]
    with pytest.raises(TooManySessions):
        rules.own_to_end(HERE, seats)
    seats[2] = dataclasses.replace(seats[2], presence="left")
    assert rules.own_to_end(HERE, seats) is seats[2]
    assert rules.own_to_end(THERE, seats) is None  # it may have another


@pytest.mark.parametrize(
    ("address", "counts_as", "if_set"),
    [
        ("192.0.2.7", "192.0.2.7", "192.0.2.7"),
        ("2001:db8::1:2:3:4", "2001:db8::/64", "2001:db8::/64"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("::1", "", "::/64"),
        ("10.1.2.3", "", "10.1.2.3"),
        ("", "", ""),
        ("testclient", "", ""),
    ],
)
def test_addresses_of_this_machine_and_of_proxies_tell_nobody_apart(
    address: str, counts_as: str, if_set: str
) -> None:
    trusted = ("10.0.0.0/8",)
    assert CountedAddresses(trusted).find(address) == counts_as
    assert CountedAddresses(trusted, every=True).find(address) == if_set


def test_half_of_the_seats_are_an_addresss_unless_it_is_said(tmp_path: Path) -> None:
    def rules(**settings: Any) -> SeatRules:
        return rules_of(load_config(None, {"data_dir": tmp_path} | settings))

    assert [rules(max_sessions=n).per_address for n in (1, 2, 3, 8)] == [1, 1, 2, 4]
    assert rules(sessions_per_address=3).per_address == 3
    assert rules(sessions_per_address=0).per_address == 0
    assert (rules().per_key, rules(sessions_per_key=5).per_key) == (0, 5)
    for wrong in ({"sessions_per_address": "many"}, {"sessions_per_address": -1}):
        with pytest.raises(ValueError, match=r"sessions_per_address = .*: must be auto, or at"):
            rules(**wrong)
    with pytest.raises(ValueError, match="sessions_per_key = -1: must be at least 0"):
        rules(sessions_per_key=-1)


class Full:
    """The application of a server that is open, and whose seats the test takes."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        settings = {"api_keys": "", "sessions_per_address": 0} | settings
        self.server = Server(ServerConfig(data_dir=folder, **settings))
        self.server._state = "open"
        self.app = create_app(self.server.config, self.server)
        self.read = 0
        self.sent: list[dict[str, Any]] = []

    def take(self, count: int, who: Caller = LOCAL) -> None:
        with acting(who):
            for _ in range(count):
                self.server._open.expect(f"s{len(self.server._open.openers())}")

    async def ask(
        self,
        method: str,
        path: str,
        *,
        bearer: str = "",
        client: str = "127.0.0.1",
        length: int = 9,
    ) -> tuple[int, str]:
        """Status and code; a body that is asked for is counted, and there is none."""
        websocket = method == "WS"
        head = {"host": "127.0.0.1", "content-length": str(length)}
        head |= {"content-type": "application/sdp"} | (
            {"authorization": f"Bearer {bearer}"} if bearer else {}
        )
        scope: dict[str, Any] = {
            "type": "websocket" if websocket else "http",
            "method": method,
            "path": path,
            "root_path": "",
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in head.items()],
            "client": (client, 1),
            "extensions": {"websocket.http.response": {}},
            "state": {},
        }
        self.sent = []

        async def receive() -> dict[str, Any]:
            self.read += not websocket
            return {"type": "websocket.connect" if websocket else "http.disconnect"}

        async def send(message: Any) -> None:
            self.sent.append(message)

        await self.app(scope, receive, send)  # type: ignore[arg-type]
        body = b"".join(m.get("body", b"") for m in self.sent)
        return self.sent[0]["status"], json.loads(body)["error"]["code"]

    def refused(self, reason: str) -> float:
        value = self.server.metrics.registry.get_sample_value
        return value("vivavoce_sessions_refused_total", {"reason": reason}) or 0.0


@pytest.mark.parametrize(("method", "path"), OPENING)
async def test_a_full_server_reads_no_offer(tmp_path: Path, method: str, path: str) -> None:
    full = Full(tmp_path, max_sessions=2)
    full.take(2)
    assert await full.ask(method, path) == (503, "at_capacity")
    assert b"retry-after" in dict(full.sent[0]["headers"])
    assert full.refused("at_capacity") == 1
    assert full.read == 0
    full.server.announce_end()
    assert await full.ask(method, path) == (503, "draining")
    assert full.refused("draining") == 1
    assert full.read == 0


@pytest.mark.parametrize(("method", "path"), OPENING)
async def test_of_whoever_has_as_many_as_it_may_no_offer_is_read(
    tmp_path: Path, method: str, path: str
) -> None:
    full = Full(tmp_path, max_sessions=8, sessions_per_address=1)
    full.take(1, dataclasses.replace(LOCAL, address="192.0.2.1"))
    assert await full.ask(method, path, client="192.0.2.1") == (429, "too_many_sessions")
    assert full.refused("too_many_sessions") == 1
    assert full.read == 0
    if method == "POST":
        await full.ask(method, path, client="192.0.2.2")
        assert full.read  # of another one it is


async def test_size_and_key_come_before_the_seat(tmp_path: Path) -> None:
    """Nothing is told of seats to strangers, and the cheapest look is the first."""
    full = Full(tmp_path, max_sessions=1)
    full.take(1)
    KeyFile(tmp_path).create("alice")
    assert await full.ask("POST", "/whip/anna", length=10**6) == (413, "body_too_large")
    assert await full.ask("POST", "/whip/anna", bearer="sk-vv-x") == (401, "unauthorized")
    assert full.refused("at_capacity") == 0
    assert full.read == 0


async def test_a_token_is_counted_by_where_it_is_shown(tmp_path: Path) -> None:
    """Behind a key each visitor's address has half of the seats, whoever's token it shows."""
    key, secret = KeyFile(tmp_path).create("alice")
    full = Full(tmp_path, max_sessions=4, sessions_per_address="auto")
    token = full.app.state.gate.tokens.mint(
        dataclasses.replace(key.caller, address="198.51.100.1"), frozenset({"open"}), 60
    )
    visitor = dataclasses.replace(HERE, key=key.id)
    full.take(2, visitor)

    async def ask(bearer: str, client: str) -> tuple[int, str]:
        return await full.ask("POST", "/v1/sessions", bearer=bearer, client=client)

    assert await ask(token.secret, visitor.address) == (429, "too_many_sessions")
    for bearer, client in (
        (token.secret, "192.0.2.9"),
        (token.secret, "198.51.100.1"),  # where it was minted
        (token.secret, "127.0.0.1"),
        (secret, visitor.address),
    ):
        assert (await ask(bearer, client))[1] != "too_many_sessions"


async def test_each_of_many_at_once_is_counted(tmp_path: Path) -> None:
    full = Full(tmp_path, max_sessions=8, sessions_per_address=2)
    who = dataclasses.replace(LOCAL, address="192.0.2.1")
    with acting(who):
        for number in range(2):
            await full.server._take_seat(f"n{number}")
        with pytest.raises(TooManySessions):
            await full.server._take_seat("n2")
    with acting(dataclasses.replace(who, address="192.0.2.2")):
        await full.server._take_seat("n3")
    assert len(full.server._open.openers()) == 3
