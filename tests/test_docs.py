"""Every relative link and anchor in what people read leads somewhere."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    page
    for pattern in ("*.md", "*/*.md", "integrations/*/*.md", "examples/*/*.md")
    for page in ROOT.glob(pattern)
    if not page.relative_to(ROOT).parts[0].startswith(".")
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
SCHEME = re.compile(r"[a-z]+:")
AVATAR = re.compile(r"""(?:avatar(?:=|: ?)|model=|--avatar |/whip/)["']?([A-Za-z][\w.-]*)""")
NEWCOMERS = [*(ROOT / "docs").glob("for-*.md"), ROOT / "docs" / "motion-out.md"]
OF_THE_READER = {"me", "me.jpg"}
"""Avatars and photos that a page has its reader make."""


def anchors(text: str) -> set[str]:
    """Those of the headings, as GitHub makes them."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ +(.*?)\s*$", FENCE.sub("", text), re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        again = sum(known == slug or known.startswith(f"{slug}-") for known in found)
        found |= {slug, f"{slug}-{again}" if again else slug}
    return found


def broken(page: Path) -> Iterator[str]:
    """The links of a page that lead nowhere."""
    text = page.read_text()
    for target in LINK.findall(FENCE.sub("", text)):
        if SCHEME.match(target):
            continue
        path, _, anchor = target.partition("#")
        there = page.parent / path if path else page
        if not there.exists() or (anchor and anchor not in anchors(there.read_text())):
            yield target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    assert list(broken(page)) == []


def test_every_page_of_the_documentation_is_in_its_index():
    index = (ROOT / "docs" / "README.md").read_text()
    linked = {target.partition("#")[0] for target in LINK.findall(index)}
    written = {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert written <= linked


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_avatars_that_are_named_are_there(page):
    """What a newcomer copies works; words in capitals are for him to fill in."""
    cast = {portrait.stem for portrait in (ROOT / "cast").glob("*.png")}
    named = {name for name in AVATAR.findall(page.read_text()) if not name.isupper()}
    assert {name.lower() for name in named} - OF_THE_READER <= cast


@pytest.mark.parametrize("page", NEWCOMERS, ids=lambda page: page.name)
def test_commands_of_newcomers_are_there_in_a_checkout(page):
    """A checkout has `.venv`, which nobody has activated, and Debian calls no Python `python`."""
    lines = "".join(FENCE.findall(page.read_text())).splitlines()
    assert not [line for line in lines if re.match(r"(python|pip|vivavoce)\b ", line)]


def test_avatars_are_found_where_they_are_named():
    text = 'avatar="a", {avatar: "b"}, ?avatar=c&x model="d", --avatar e -o f, /whip/G {avatar}'
    assert AVATAR.findall(text) == ["a", "b", "c", "d", "e", "G"]


def test_what_is_broken_is_found(tmp_path):
    (tmp_path / "there.md").write_text("# A `name`, twice\n\n```\n# not one\n```\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](there.md) [b](there.md#a-name-twice) [c](https://example.org/no) [d](#own)\n# Own\n"
        "[e](gone.md) [f](there.md#not-one) ![g](gone.png) [h](#other)\n```\n[i](gone.md)\n```\n"
    )
    assert list(broken(page)) == ["gone.md", "there.md#not-one", "gone.png", "#other"]
