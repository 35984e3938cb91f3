"""Answers that are not numbers: choices, yes and no, dates, and lists, sets, tuples and intervals of other answers."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

YES, NO = {"yes", "true", "correct"}, {"no", "false", "incorrect"}
MONTHS = {
    name: i + 1
    for i, full in enumerate(
        [
            "january",
            "february",
            "march",
            "april",
            "may",
            "june",
            "july",
            "august",
            "september",
            "october",
            "november",
            "december",
        ]
    )
    for name in (full, full[:3])
}
OPEN, CLOSE = "([{", ")]}"


def letter(text: str, options: tuple[str, ...] = ()) -> str | None:
    r"""Return the choice that `text` names: "B", "(B)", "B.", "option B", "\text{B}", "B) thymine"; None for none.

    options: the texts of the choices, A first; an answer that is exactly one of them (and no other) names it too.
    """
    bare = re.sub(r"\\(?:text|mathrm|textbf|mathbf|boxed)\s*\{([^{}]*)\}", r"\1", text).strip(" \t\n$*.")
    bare = re.sub(r"^(?:the )?(?:correct )?(?:answer|option|choice)(?: is)?[ :]*", "", bare, flags=re.IGNORECASE)
    found = re.match(r"\(?([A-Z])(?:\)|[.:]|$)", bare)
    if found and (not options or ord(found[1]) - ord("A") < len(options)):
        return found[1]
    same = [i for i, option in enumerate(options) if plain(option) == plain(text)]
    return chr(ord("A") + same[0]) if len(same) == 1 else None


def truth(text: str) -> bool | None:
    """Return what a yes or no, true or false at the beginning of `text` says; None for neither, or for both."""
    words = re.findall(r"[a-z]+", text.lower())
    said = {word in YES for word in words if word in YES | NO}
    return said.pop() if words and words[0] in YES | NO and len(said) == 1 else None


def date(text: str) -> dt.date | None:
    """Return the date that the whole of `text` states, None for none.

    Read are 2024-01-31, 01/31/2024 (month first), January 31, 2024 and 31 January 2024.
    """
    text = text.strip(" .\t\n")
    named = re.fullmatch(r"([A-Za-z]+)\.? (\d{1,2})(?:st|nd|rd|th)?,? (\d{4})", text)
    turned = re.fullmatch(r"(\d{1,2})(?:st|nd|rd|th)? (?:of )?([A-Za-z]+)\.?,? (\d{4})", text)
    iso, slashes = re.fullmatch(r"(\d{4})-(\d{2})-(\d{2})", text), re.fullmatch(r"(\d{1,2})/(\d{1,2})/(\d{4})", text)
    try:
        if iso:
            return dt.date(*map(int, iso.groups()))
        if slashes:
            return dt.date(int(slashes[3]), int(slashes[1]), int(slashes[2]))
        if named:
            return dt.date(int(named[3]), MONTHS[named[1].lower()], int(named[2]))
        if turned:
            return dt.date(int(turned[3]), MONTHS[turned[2].lower()], int(turned[1]))
    except (KeyError, ValueError):
        pass
    return None


def plain(text: str) -> str:
    """Return `text` without what never makes a difference: case, spaces, dollar signs, TeX's spacing, a last full stop."""
    text = re.sub(r"\\(?:left|right|displaystyle|!|,|;|:|quad|qquad| )(?![A-Za-z])", "", text)
    text = text.replace("−", "-").replace("{,}", ",").replace(r"\$", "").replace("$", "")
    text = re.sub(r"([\^_])\{(\w)\}", r"\1\2", re.sub(r"\\[dt]frac", r"\\frac", text))
    return re.sub(r"\s+", "", text).rstrip(".").lower()


@dataclass(frozen=True)
class Several:
    """Several answers. opens, closes: their brackets, "" for none. ordered: whether their order counts."""

    items: tuple[str, ...]
    opens: str
    closes: str

    @property
    def ordered(self) -> bool:
        """Return whether the order counts: in tuples and intervals, not in sets, lists and unions."""
        return self.opens in ("(", "[")


def several(text: str) -> Several | None:
    r"""Return the parts of a list "1, 2", a set {1, 2}, a tuple (1, 2), an interval [1, 2) or a union; None for none.

    "or", "and", semicolons and \cup divide as commas do, at the top level of brackets only.
    """
    text = re.sub(r"\\left|\\right", "", text.strip().strip("$").strip())
    text = text.replace(r"\{", "{").replace(r"\}", "}").replace("{,}", ",")
    text = re.sub(r"\\text\s*\{\s*(or|and)\s*\}", r" \1 ", text)
    parts = split(text, r"\\cup\b|∪")
    if parts and len(parts) > 1:
        return Several(tuple(parts), "∪", "∪")
    if len(text) > 1 and text[0] in OPEN and text[-1] in CLOSE and _closes_at_end(text):
        inner = split(text[1:-1], r"[,;]")
        if inner and (len(inner) > 1 or text[0] == "{"):
            return Several(tuple(inner), text[0], text[-1])
        return None
    parts = split(text, r"[,;]\s*(?:and|or)\b|[,;]|\band\b|\bor\b|(?<=\d)(?:or|and)(?=[-\d])")
    return Several(tuple(parts), "", "") if parts and len(parts) > 1 else None


def split(text: str, separator: str) -> list[str] | None:
    """Return the parts of `text` between top-level separators, None where a part is empty or brackets do not match.

    A bracket closes any other: intervals are half open.
    """
    pattern, parts, depth, start, at = re.compile(separator), [], 0, 0, 0
    while at < len(text):
        found = pattern.match(text, at) if depth == 0 else None
        if found and found.end() > at:
            parts.append(text[start:at].strip())
            start = at = found.end()
            continue
        depth += (text[at] in OPEN) - (text[at] in CLOSE)
        if depth < 0:
            return None
        at += 1
    parts.append(text[start:].strip())
    return parts if depth == 0 and all(parts) else None


def _closes_at_end(text: str) -> bool:
    """Return whether the bracket that opens `text` is closed by its last character."""
    depth = 0
    for i, c in enumerate(text):
        depth += (c in OPEN) - (c in CLOSE)
        if depth == 0:
            return i == len(text) - 1
    return False
