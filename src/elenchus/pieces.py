"""Any text as words of a small closed vocabulary, and back: what word-level models read and write of foreign tasks.

    'Add 12 + 3.\\n'   ->   'Add ␣ 1 2 ␣ + ␣ 3 . ↵'

A run of letters that the task's texts keep using is one piece, with the space before it (`␣Add`); every digit, sign and
space, and every letter of any other run, is a piece of its own. Pieces are set apart by single spaces. Characters that
have no piece are written by their code point (`␛ 0 0 0 0 e 9`), so that every text can be written and none is lost.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Collection, Iterable

SPACE, ESCAPE, EMPTY = "␣", "␛", "␀"
NAMED = {" ": SPACE, "\n": "↵", "#": "♯"}  # `#` begins the step marks of critiques
RESERVED = {*NAMED, *NAMED.values(), ESCAPE, EMPTY}
PLAIN = [c for c in string.ascii_letters + string.digits + string.punctuation if c not in RESERVED]
TOKEN = re.compile(r"( ?)([A-Za-z]+)|(.)", re.DOTALL)


def recurring(texts: Iterable[str], least: int) -> frozenset[str]:
    """Return the runs of two letters or more, and the characters outside ASCII, that at least `least` of `texts` hold."""
    counts: Counter[str] = Counter()
    for text in texts:
        found = {run or char for _, run, char in TOKEN.findall(text)}
        counts.update(x for x in found if (len(x) > 1) or (not x.isascii() and not x.isspace() and x not in RESERVED))
    return frozenset(x for x, count in counts.items() if count >= least)


def write(text: str, known: Collection[str] = ()) -> str:
    """Return `text` in pieces. known: the runs of letters and the characters that are one piece (`recurring`)."""
    found: list[str] = []
    for space, run, char in TOKEN.findall(text):
        if run in known:
            found.append(f"{SPACE if space else ''}{run}")
            continue
        for c in space + run + char:
            if c in NAMED or c in PLAIN or c in known:
                found.append(NAMED.get(c, c))
            else:
                found += [ESCAPE, *f"{ord(c):06x}"]
    return " ".join(found or [EMPTY])


def read(written: str) -> str:
    """Return the text that `written` stands for; ValueError where its pieces are not set apart or no text."""
    words, found, at = written.split(" "), [], 0
    if words == [EMPTY]:
        return ""
    back = {mark: char for char, mark in NAMED.items()}
    while at < len(words):
        word = words[at]
        if word == ESCAPE:
            code = "".join(words[at + 1 : at + 7])
            if not re.fullmatch(r"[0-9a-f]{6}", code) or int(code, 16) > 0x10FFFF:
                raise ValueError(f"{ESCAPE} is not followed by six hexadecimal digits")
            found.append(chr(int(code, 16)))
            at += 7
            continue
        spaced = word[:1] == SPACE and len(word) > 1
        body = word[1:] if spaced else word
        if len(body) > 1 and not (body.isascii() and body.isalpha()):
            raise ValueError(f"{word!r} is no piece")
        if not body or body == EMPTY or body.isspace() or body == "#" or (spaced and not body.isalpha()):
            raise ValueError(f"{word!r} is no piece")
        found.append((" " if spaced else "") + back.get(body, body))
        at += 1
    return "".join(found)


def vocabulary(known: Iterable[str]) -> list[str]:
    """Return all pieces that `write` can use."""
    runs = [x for x in known if x.isascii()]
    return [*PLAIN, *NAMED.values(), ESCAPE, EMPTY, *known, *(f"{SPACE}{run}" for run in runs)]
