r"""Whether a short answer is the right one: numbers, units, percentages, choices, yes and no, dates, sets, TeX.

    grade("$1,200.00", "1200")            True
    grade("(B) thymine", "B")             True
    grade(r"\frac{\sqrt{2}}{2}", r"\frac{1}{\sqrt{2}}")   True

The reference's form decides how both are read. Exact comparison comes first and is all that most answers need; only TeX
expressions go to math-verify, in a process of its own. Nothing that a model wrote is evaluated as code, and every answer
is bounded in length and in time: what is too long or takes too long is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Literal

from elenchus.answers import forms, symbolic, values
from elenchus.answers.extract import boxed, final

Kind = Literal["auto", "number", "choice", "truth", "date", "expression", "text"]
MAX_GIVEN = 2_000  # characters of an answer; a longer one is an essay
MAX_DEPTH = 4  # of lists in lists
MAX_ITEMS = 64  # of one list

__all__ = ["Kind", "boxed", "final", "grade", "grade_many", "kind_of"]


def grade(given: str | None, gold: str, kind: Kind = "auto", options: tuple[str, ...] = ()) -> bool:
    """Return whether `given` is the answer `gold`; None (no answer) and the empty answer are wrong.

    kind: how to read them; "auto" by `kind_of(gold)`. options: the texts of a question's choices, A first.
    """
    if given is None or not given.strip() or len(given) > MAX_GIVEN:
        return False
    return _grade(given.strip(), gold.strip(), kind, tuple(options), 0)


def grade_many(pairs: Iterable[tuple[str | None, str]], kind: Kind = "auto") -> list[bool]:
    """Return `grade` of each (given, gold)."""
    return [grade(given, gold, kind) for given, gold in pairs]


@lru_cache(maxsize=65_536)
def kind_of(gold: str) -> Kind:
    """Return how a reference is read: its form says whether it is a choice, yes or no, a date, a number or TeX."""
    if re.fullmatch(r"\(?[A-J]\)?", gold):
        return "choice"
    if gold.lower() in forms.YES | forms.NO:
        return "truth"
    if forms.date(gold):
        return "date"
    return "number" if values.read(_bare(gold)) else "expression"


def _grade(given: str, gold: str, kind: Kind, options: tuple[str, ...], depth: int) -> bool:
    if kind == "auto":
        kind = "choice" if options else kind_of(gold)
    if kind == "choice":
        return forms.letter(given, options) == forms.letter(gold, options) is not None
    if kind == "truth":
        return forms.truth(given) == forms.truth(gold) is not None
    if kind == "date":
        return forms.date(given) == forms.date(gold) is not None
    if forms.plain(given) == forms.plain(gold):
        return True
    if kind == "text":
        return False
    given, gold = _bare(given), _bare(gold)
    a, b = values.read(given), values.read(gold)
    if b is not None:
        if a is None:
            a = values.read(_without_name(given, gold))
        if a is not None:
            return values.equal(a, b)
        if kind == "number" and not re.search(r"\\|\^|[\d)] ?[-+*/] ?[\d(]", given):
            return False  # words, or a sum that TeX could not mend
    bases = values.in_base(given), values.in_base(gold)
    if any(bases):  # math-verify would not see the base
        digits = [x[0] if x else forms.plain(text) for x, text in zip(bases, (given, gold), strict=True)]
        return digits[0] == digits[1] and not all(bases)
    lists = forms.several(given), forms.several(gold)
    if any(lists):
        return all(lists) and _same_items(*lists, options, depth)
    if given.count("=") == 1 and "=" not in gold:
        given = _without_name(given, gold)
        if forms.plain(given) == forms.plain(gold):
            return True
    return symbolic.equal(given, gold)


def _same_items(given: forms.Several, gold: forms.Several, options: tuple[str, ...], depth: int) -> bool:
    """Return whether two lists hold the same answers, in the same order and brackets where those count."""
    a, b = given.items, gold.items
    if depth >= MAX_DEPTH or len(a) != len(b) or len(a) > MAX_ITEMS:
        return False
    if given.ordered or gold.ordered:
        same = (given.opens, given.closes) == (gold.opens, gold.closes)
        return same and all(_grade(x, y, "auto", options, depth + 1) for x, y in zip(a, b, strict=True))
    if "∪" in (given.opens, gold.opens) and given.opens != gold.opens:
        return False
    left = list(b)
    for x in a:  # each takes the first equal one that is left; equality is (nearly) transitive, so no search is needed
        match = next((y for y in left if _grade(x, y, "auto", options, depth + 1)), None)
        if match is None:
            return False
        left.remove(match)
    return True


def _bare(text: str) -> str:
    r"""Return `text` without what TeX puts around an answer: dollar signs, \( \), \text, spacing, a last full stop."""
    text = text.strip().replace("−", "-").replace("{,}", ",")
    text = re.sub(r"^\\[\(\[]|\\[\)\]]$", "", text).strip()
    if len(text) > 1 and text[0] == "$" and text[-1] == "$":
        text = text.strip("$").strip()
    text = re.sub(r"\\(?:text|mathrm|textbf|mathbf)\s*\{([^{}]*)\}", r" \1", text)
    text = re.sub(r"\\[!,;: ]|\\q?quad\b|~|\\displaystyle", " ", text).replace(r"\%", "%").replace(r"\$", "$")
    text = re.sub(r"\s+", " ", text).strip()
    return text[:-1] if text.endswith(".") and not text.endswith("..") else text


def _without_name(given: str, gold: str) -> str:
    """Return `given` without "x =" before it, where `gold` has no such name."""
    found = re.match(r"^[A-Za-z]\w*(?:_\{?\w+\}?)?(?:\([A-Za-z]\))? ?= ?(.+)$", given)
    return found[1] if found and "=" not in gold else given
