"""Which cores of the machine a process may use."""

from __future__ import annotations

import logging
import os
import re

logger = logging.getLogger(__name__)

_RANGE = r"\d{1,4}(-\d{1,4})?"


def is_cores(text: str) -> bool:
    """Whether this names cores, as `taskset` takes them: "2-7,10"; "" names all."""
    return not text or re.fullmatch(rf"{_RANGE}(,{_RANGE})*", text) is not None


def cores(text: str) -> frozenset[int]:
    """The cores that are named."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)


def stay_on(text: str) -> None:
    """Have this thread, and those it starts, use these cores alone; those of them that there are,
    and where there are none, all."""
    if not text:
        return
    there = cores(text) & os.sched_getaffinity(0)
    if there:
        os.sched_setaffinity(0, there)
    else:
        logger.warning("none of the cores %s can be used here", text)
