"""Choose the generated portraits that no training may see, by their names and figures alone.

    python -m benchmarks.faces.choose INDEX [--count 100]

INDEX is the index.csv beside the portraits; rows go to training/portraits/validation.csv. Portraits
of one prompt or one pose count as one. Only prompts of plain words are taken: people, not figures
of fantasy, and near-photographic rather than painted, which saturation and sharpness tell roughly.
Then, one at a time, whoever fills most of what is still wanted in `QUOTAS`; ties by a hash.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from training.portraits.held_out import (
    POSE_TOLERANCE,
    VALIDATION,
    Row,
    pose_of,
    prompt_of,
    read_index,
)

_SATURATION = 0.49  # above it most are painted
_SHARPNESS = (140.0, 700.0)  # below it are soft ones, above it strokes of a brush
_PARTED = 0.012  # gap over face height from which lips show what is behind them

# Words by what they say; a prompt has an attribute if it holds one of its words.
ATTRIBUTES: dict[str, str] = {
    "woman": "woman women girl lady female mother mom grandma wife daughter actress redhead "
    "schoolgirl brunette librarian nurse",
    "man": "man men guy boy male father dad grandpa husband son bearded beard mustache moustache "
    "goatee bald balding stubble gentleman",
    "child": "child kid boy baby schoolgirl toddler little preschooler",
    "young": "young teen teenage teenager youthful student college",
    "old": "old older elderly grandma grandpa wrinkled aged mature retired veteran professor "
    "grey gray",
    "african": "black african nigerian ethiopian kenyan jamaican",
    "east asian": "asian chinese japanese korean vietnamese thai filipino mongolian",
    "south asian": "indian pakistani bengali",
    "middle eastern": "arab egyptian turkish persian iranian afghan moroccan",
    "latin": "mexican hispanic latin latino latina brazilian spanish",
    "european": "white russian polish irish german british french italian swedish nordic scottish "
    "greek european pale english dutch norwegian",
    "beard": "beard bearded stubble mustache moustache goatee",
    "bald": "bald balding shaved",
    "glasses": "glasses",
    "smile": "smile smiling laughing happy joyful grin cheerful friendly",
    "frown": "frowning angry sad serious grumpy stern annoyed tired",
    "freckles": "freckles freckled",
    "curls": "curly curls afro braids braided dreadlocks wavy",
}
QUOTAS = {
    "woman": 48, "man": 48, "child": 8, "young": 22, "old": 24,
    "african": 20, "east asian": 14, "south asian": 8, "middle eastern": 7, "latin": 8,
    "european": 22, "beard": 14, "bald": 8, "glasses": 8, "smile": 12, "frown": 8,
    "freckles": 5, "curls": 10, "parted lips": 20,
}  # fmt: skip
_WORDS = """
    a academic accountant afro american an and architect artist athlete attractive auburn
    australian average baker bangs barber beautiful big black blond blonde blue bob bookworm
    brown buff builder bun business calm canadian cheekbones cheeks cheerful chef chin chubby
    clean clerk coach coat color colored cool cut cute dancer dark deep dentist detective
    developer dimples doctor drummer editor engineer explorer eyebrows eyed eyes face faced
    facial farmer features firefighter fisherman forehead friend from full gardener gentle
    ginger golden good green guide guitarist hair haired handsome has hat hazel her high hipster
    his homeless in is journalist kid kind large lawyer librarian light lips long looking looks
    low lumberjack manager merchant messy middle much muscular musician narrow native neat nerdy
    nice normal north nose nosed nurse of officer ordinary oval overweight painter person photo
    pilot pixie player pleasant policeman politician ponytail portrait postman pretty professor
    realistic red rimmed round runner s sailor scientist scruffy secretary shaggy sharp shirt
    short shy silver singer skin skinned skinny slender slim small soft software south square
    straight strong student suit swimmer tall tan tanned teacher teenager the thin tomboy toned
    typical very waiter wearing weathered white who wide wire wise with worker working wrinkles
    year years youthful 1920 1950 20 30 40 50 60 70 80
"""
PLAIN = set(_WORDS.split()).union(*(told.split() for told in ATTRIBUTES.values()))


def attributes_of(row: Row) -> set[str]:
    """What name and figures say about who is shown."""
    words = set(prompt_of(row["file"]).split("-"))
    found = {name for name, told in ATTRIBUTES.items() if words & set(told.split())}
    if "woman" in found:
        found -= {"man"}
    if "old" in found:
        found -= {"young", "child"}
    # "black" and "white" alone may be hair.
    if {"hair", "haired", "eyes"} & words and not words & {"african", "skin", "skinned"}:
        found -= {"african"} if "black" in words else set()
        found -= {"european"} if "white" in words and not words & {"pale", "irish"} else set()
    return found | ({"parted lips"} if float(row["lip_gap"]) >= _PARTED else set())


def suitable(row: Row) -> bool:
    """Whether a portrait shows an ordinary person, near-photographic."""
    low, high = _SHARPNESS
    return (
        set(prompt_of(row["file"]).split("-")) <= PLAIN
        and float(row["saturation"]) <= _SATURATION
        and low <= float(row["sharpness"]) <= high
    )


def groups(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows that share a prompt or a pose, directly or through others, together."""
    poses = np.array([pose_of(row) for row in rows])
    order = np.argsort(poses[:, 0], kind="stable")
    parent = list(range(len(rows)))

    def root(n: int) -> int:
        while parent[n] != n:
            parent[n] = parent[parent[n]]
            n = parent[n]
        return n

    first: dict[str, int] = {}
    for n, row in enumerate(rows):
        parent[root(n)] = root(first.setdefault(prompt_of(row["file"]), n))
    for at, n in enumerate(order):
        for m in order[at + 1 :]:
            if poses[m, 0] - poses[n, 0] >= POSE_TOLERANCE:
                break
            if (np.abs(poses[m] - poses[n]) < POSE_TOLERANCE).all():
                parent[root(int(n))] = root(int(m))
    found: dict[int, list[Row]] = {}
    for n, row in enumerate(rows):
        found.setdefault(root(n), []).append(row)
    return list(found.values())


def choose(rows: Sequence[Row], count: int) -> list[Row]:
    """So many portraits, by name; ValueError if there are fewer suitable ones."""
    left = [min(suited, key=_chance) for group in groups(rows) if (suited := _suited(group))]
    if len(left) < count:
        raise ValueError(f"{count} portraits wanted, {len(left)} are suitable")
    chosen: list[Row] = []
    held: Counter[str] = Counter()
    for _ in range(count):
        best = min(left, key=lambda row: (-_gain(attributes_of(row), held), _chance(row)))
        left.remove(best)
        chosen.append(best)
        held.update(attributes_of(best))
    return sorted(chosen, key=lambda row: row["file"].casefold())


def _suited(group: Iterable[Row]) -> list[Row]:
    return [row for row in group if suitable(row)]


def _gain(attributes: set[str], held: Counter[str]) -> float:
    """What a portrait adds to the quotas: the emptier one is, the more; less than 0 when full."""
    gains = [max(1.0 - held[name] / QUOTAS[name], -1.0) for name in attributes]
    return round(sum(gains), 9)


def _chance(row: Row) -> str:
    return hashlib.sha256(row["file"].encode()).hexdigest()


def main(argv: Sequence[str] | None = None) -> int:
    """Write the rows and say what they hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("index", type=Path)
    parser.add_argument("--count", type=int, default=100)
    args = parser.parse_args(argv)
    rows = read_index(args.index)
    chosen = choose(rows, args.count)
    with VALIDATION.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(chosen[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(chosen)
    held = Counter(name for row in chosen for name in attributes_of(row))
    print(", ".join(f"{name} {held[name]} of {wanted}" for name, wanted in QUOTAS.items()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
