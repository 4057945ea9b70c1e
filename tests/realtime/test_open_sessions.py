"""Whose place a newcomer gets where there is none left."""

import pytest

from realtime.access.caller import Caller, acting
from realtime.life import Life
from realtime.open_sessions import OpenSessions
from realtime.seats import SeatRules
from tests.support.fakes import settle
from tests.support.sessions import FakeOffer, Stage

GRACE_S = 5.0
RULES = SeatRules(most=8)
ALICE, BOB, CAROL = (Caller(kind="key", owner=name, key=name) for name in ("a", "b", "c"))


class Seats:
    """Sessions of several callers, each on a stage of its own."""

    def __init__(self) -> None:
        self.sessions = OpenSessions()
        self.stages: list[Stage] = []

    async def taken(self, who: Caller, now: float) -> Stage:
        stage = Stage()
        stage.session.id = f"{who.owner}{len(self.stages)}"
        await stage.session.open()
        with acting(who):
            stage.session._opened = now
            self.sessions.add(stage.session)
        self.stages.append(stage)
        return stage

    def given_to(self, who: Caller, now: float) -> str | None:
        seat = RULES.to_end(who, self.sessions.seats(now, GRACE_S))
        return None if seat is None else seat.id

    async def end(self) -> None:
        for stage in self.stages:
            await stage.session.close("over")
        await settle()


@pytest.fixture
async def seats():
    seats = Seats()
    yield seats
    await seats.end()


async def test_one_that_nobody_came_to_has_a_while(seats):
    await seats.taken(ALICE, 1.0)
    assert seats.given_to(BOB, 5.0) is None
    assert seats.given_to(BOB, 6.5) == "a0"
    assert seats.given_to(ALICE, 6.5) == "a0"  # who reloads a page


async def test_who_keeps_several_waiting_gives_way_to_others_at_once(seats):
    await seats.taken(BOB, 0.5)
    for now in (1.0, 1.1, 1.2):
        await seats.taken(ALICE, now)
    assert seats.given_to(CAROL, 1.3) == "a1"
    assert seats.given_to(ALICE, 1.3) is None
    assert seats.given_to(ALICE, 6.0) == "b0"


async def test_who_is_there_gives_way_to_nobody(seats):
    answered = await seats.taken(ALICE, 0.0)
    await answered.session.connect(FakeOffer())
    assert seats.given_to(BOB, 100.0) == "a0"
    answered.peers[0].heard = True  # it is about to connect
    assert seats.given_to(BOB, 100.0) is None
    watched = await seats.taken(ALICE, 0.0)
    await watched.watch()
    assert watched.session.life is Life.RUNNING
    listened = await seats.taken(ALICE, 0.0)
    listened.session.attach(lambda text: None)
    assert seats.given_to(BOB, 100.0) is None
