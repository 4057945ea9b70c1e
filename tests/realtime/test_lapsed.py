"""What runs by a key or token ends with it."""

from __future__ import annotations

import asyncio

import pytest

from realtime.access.caller import LOCAL, NOBODY, acting
from realtime.access.gate import Gate
from realtime.access.keys import KeyFile
from realtime.config import ServerConfig
from realtime.lapsed import LOOK_S, REASON, LapsedAccess
from realtime.open_sessions import OpenSessions
from realtime.sources.pushed import PushedSpeech
from tests.support.sessions import Stage, staged

SECONDS = 3 * LOOK_S
"""Within which it has ended: one look tells, the next ends."""


class Doors:
    """A data folder with the keys alice and bob, its gate, and the sessions behind it."""

    def __init__(self, folder, stage: Stage) -> None:
        self.file = KeyFile(folder)
        self.callers = {name: self.file.create(name)[0].caller for name in ("alice", "bob")}
        self.gate = Gate(ServerConfig(data_dir=folder, api_keys=""), stage.clock)
        self.tokens = self.gate.tokens
        self.sessions = OpenSessions()
        self.watch = LapsedAccess(self.sessions, self.gate.holds, stage.clock)

    def token(self, name: str, *scopes: str, expires_s: int = 3600, session: str | None = None):
        secret = self.tokens.mint(self.callers[name], frozenset(scopes), expires_s, session).secret
        return secret, self.tokens.find(secret)


async def watching(stage: Stage, doors: Doors, opener) -> asyncio.Task:
    """The session is `opener`'s, and looked after."""
    with acting(opener):
        doors.sessions.add(stage.session)
    return asyncio.create_task(doors.watch.run())


async def stopped(task: asyncio.Task) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def words(channel) -> list[str]:
    return [each["error"]["message"] for each in channel.told("error")]


def test_what_holds(tmp_path):
    doors = Doors(tmp_path, stage := Stage())
    alice, bob = doors.callers.values()
    secret, visitor = doors.token("alice", "open", "view", expires_s=100)
    link = doors.tokens.find(
        doors.tokens.mint(visitor, frozenset({"view"}), 3600, "session").secret
    )
    by_key, by_token = (
        doors.tokens.redeem(doors.tokens.mint_ticket(who, "session").secret)
        for who in (alice, visitor)
    )
    everybody = (LOCAL, NOBODY, alice, bob, visitor, link, by_key, by_token)

    def holding() -> list:
        return [who for who in everybody if doors.gate.holds(who)]

    assert holding() == list(everybody)
    stage.clock.jump(40)  # what a ticket has let in stays, though nobody else could come by it
    assert holding() == list(everybody)
    doors.tokens.revoke(secret)
    assert holding() == [LOCAL, NOBODY, alice, bob, by_key]
    doors.file.revoke("alice")
    assert holding() == [LOCAL, NOBODY, bob]


def test_a_token_holds_until_it_expires(tmp_path):
    doors = Doors(tmp_path, stage := Stage())
    _, visitor = doors.token("alice", "open", expires_s=60)
    stage.clock.jump(59)
    assert doors.gate.holds(visitor)
    stage.clock.jump(2)
    assert not doors.gate.holds(visitor)


async def test_a_ticket_of_a_token_that_was_taken_back_opens_nothing(tmp_path):
    doors = Doors(tmp_path, Stage())
    secret, visitor = doors.token("alice", "open")
    ticket = doors.tokens.mint_ticket(visitor, "session").secret
    doors.tokens.revoke(secret)
    assert not doors.gate.holds(doors.tokens.redeem(ticket))


@pytest.mark.parametrize("by", ["key", "token"])
async def test_the_session_of_a_revoked_key_ends_with_a_word(tmp_path, by):
    async with staged() as stage:
        doors = Doors(tmp_path, stage)
        who = doors.callers["alice"] if by == "key" else doors.token("alice", "open")[1]
        task = await watching(stage, doors, who)
        peer, channel = await stage.watch()
        doors.file.revoke("bob")
        await stage.clock.advance(60)
        assert not channel.told("error")
        doors.file.revoke("alice")
        while not channel.told("error"):
            await stage.clock.advance(0.1)
        assert not peer.closed  # the word is on its way
        await stage.clock.advance(SECONDS)
        assert peer.closed
        assert stage.ended() == {REASON: 1}
        assert len(words(channel)) == 1
        await stopped(task)


async def test_a_party_goes_with_its_token_and_the_session_stays(tmp_path):
    async with staged() as stage:
        doors = Doors(tmp_path, stage)
        task = await watching(stage, doors, doors.callers["alice"])
        with acting(doors.callers["alice"]):
            owner, _ = await stage.watch()
        _, speaker = doors.token("alice", "push", expires_s=30, session="session")
        _, viewer = doors.token("alice", "view", session="session")
        told: list[str] = []
        with acting(viewer):
            guest, channel = await stage.watch()
        with acting(speaker):
            party = stage.session.attach(told.append)
        await stage.clock.advance(29)
        assert party in stage.session.parties
        await stage.clock.advance(1 + SECONDS)
        assert party not in stage.session.parties
        assert sum("session_ending" in text for text in told) == 1
        doors.tokens.revoke_all(doors.callers["alice"].key)
        await stage.clock.advance(SECONDS)
        assert (owner.closed, guest.closed) == (0, 1)
        assert len(words(channel)) == 1
        assert not stage.session.closing
        await stopped(task)


async def test_where_nobody_can_tell_all_go_on(tmp_path, caplog):
    async with staged(speech=PushedSpeech()) as stage:
        doors = Doors(tmp_path, stage)
        task = await watching(stage, doors, doors.callers["alice"])
        _, channel = await stage.watch()
        whole = doors.file.path.read_text()
        doors.file.path.write_text("{")
        await stage.clock.advance(SECONDS)
        assert "keys.json is damaged" in caplog.text
        assert not channel.told("error")
        doors.file.path.write_text(whole)
        doors.file.revoke("alice")
        await stage.clock.advance(SECONDS)
        assert stage.session.closing
        await stopped(task)
