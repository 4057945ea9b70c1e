"""What of an offer is read: without candidates, and without what nobody looks at.

It is read in the process that sends media, by us and then again by aiortc.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable

from aiortc.sdp import grouplines

from realtime.errors import BadOffer

MAX_LINES, MAX_MEDIA = 1000, 16
"""Candidates apart; browsers send 150 to 300 lines. 64 KB of short ones took 80 ms to read."""
MAX_ALL_LINES = 4 * MAX_LINES
"""With candidates; of more not one is looked at."""
MAX_LINE = 4096
"""Characters; browsers send 300. One of 64 KB took 6 ms to read."""
MAX_ALIKE = {"rtpmap": 128, "fmtp": 128, "rtcp-fb": 256, "extmap": 64, "fingerprint": 8}
"""In one m-line. Each of some is compared with each of others: 900 took 14 ms to read."""
MAX_SSRCS = 16
"""Lines about streams in one m-line that are kept: only the first streams are looked at."""
_CANDIDATES = {"candidate", "end-of-candidates"}
_READ = {
    *("group", "ice-lite", "ice-options", "ice-pwd", "ice-ufrag", "fingerprint", "setup"),
    *("mid", "msid", "msid-semantic", "sendrecv", "sendonly", "recvonly", "inactive"),
    *("rtcp", "rtcp-mux", "rtpmap", "fmtp", "rtcp-fb", "extmap", "ssrc"),
    *("sctp-port", "sctpmap", "max-message-size"),
}
"""Attributes that aiortc 1.16.0 or we look at."""
_TRANSPORT = {"ice-ufrag", "ice-pwd", "ice-options", "fingerprint", "setup"}


def _attribute(line: str) -> str:
    """The name of an a-line's attribute; "" for other lines."""
    return line[2:].partition(":")[0] if line.startswith("a=") else ""


def without_excess(text: str) -> str:
    """What of an offer is read, with the transport written out in every m-line.

    Raises:
        BadOffer: it would take long.
    """
    lines = text.splitlines()
    if len(lines) <= MAX_ALL_LINES:
        lines = [line for line in lines if _attribute(line) not in _CANDIDATES]
    many = len(lines) > MAX_LINES
    media = text.count("\nm=") if many else sum(line.startswith("m=") for line in lines)
    if many or media > MAX_MEDIA:
        raise BadOffer(
            f"the offer has {len(lines)} lines and {media} of them m-lines; "
            f"{MAX_LINES} and {MAX_MEDIA} are taken"
        )
    if (longest := max(map(len, lines), default=0)) > MAX_LINE:
        raise BadOffer(f"a line of the offer has {longest} characters; {MAX_LINE} are taken")
    read = _joined(line for line in lines if not line.startswith("a=") or _attribute(line) in _READ)
    session, sections = grouplines(read)
    return _with_transport_everywhere(session, [_of_few_lines(each) for each in sections])


def _of_few_lines(section: list[str]) -> list[str]:
    """An m-line without most of what it says about streams.

    Raises:
        BadOffer: it has too many lines of another kind.
    """
    names = [_attribute(line) for line in section]
    count = Counter(names)
    for name, most in MAX_ALIKE.items():
        if count[name] > most:
            raise BadOffer(f"an m-line has {count[name]} lines a={name}; {most} are taken")
    streams = itertools.count(1)
    return [
        line
        for line, name in zip(section, names, strict=True)
        if name != "ssrc" or next(streams) <= MAX_SSRCS
    ]


def _with_transport_everywhere(session: list[str], sections: list[list[str]]) -> str:
    """Give m-lines that have no transport of their own that of the bundle.

    RFC 9143: the first m-line of the group has it; the others, those that are `bundle-only` in
    particular, may leave it out.
    """
    group = next((line.split() for line in session if line.startswith("a=group:BUNDLE ")), [])
    tagged = next((s for s in sections if f"a=mid:{''.join(group[1:2])}" in s), [])
    shared = [line for line in tagged if _attribute(line) in _TRANSPORT]
    multiplexed = any("a=rtcp-mux" in section for section in sections)
    for section in sections:
        if any(_attribute(line) in _TRANSPORT for line in section):
            continue
        section += shared
        if multiplexed and "a=rtcp-mux" not in section:
            section.append("a=rtcp-mux")
    return _joined(itertools.chain(session, *sections))


def _joined(lines: Iterable[str]) -> str:
    return "".join(f"{line}\r\n" for line in lines)
