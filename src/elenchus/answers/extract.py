"""The final answer of a solution's text, by the marks that data sets and models put before it."""

from __future__ import annotations

import re

MAX_TEXT = 200_000  # characters; the answer stands at the end, so only the end of a longer text is read
NUMBER = re.compile(r"[-−]?\$?\s?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:\s?/\s?\d+)?%?|[-−]?\.\d+")
PHRASE = re.compile(r"(?:final answer|answer)\s*(?:is|:|=)\s*:?\s*", re.IGNORECASE)
TAG = re.compile(r"<answer>(.*?)</answer>", re.DOTALL | re.IGNORECASE)


def boxed(text: str) -> str | None:
    r"""Return what the last \boxed{...} (or \fbox, \boxed x) of `text` holds, None where there is none that closes."""
    at = max(text.rfind(r"\boxed"), text.rfind(r"\fbox"))
    if at < 0:
        return None
    at = re.compile(r"\\(?:boxed|fbox)\s*").match(text, at).end()
    if text[at : at + 1] != "{":
        return re.match(r"[^\s$]*", text[at:]).group() or None
    depth = 0
    for i in range(at, len(text)):
        depth += {"{": 1, "}": -1}.get(text[i], 0)
        if depth == 0:
            return text[at + 1 : i].strip()
    return None


def final(text: str, *, last_number: bool = False) -> str | None:
    r"""Return the final answer that `text` states, None where it states none.

    Marks, in this order, the last occurrence of each: \boxed{...}; <answer>...</answer>; "#### ..." and a line that
    begins with "A:" (GSM8K); "answer is ..." up to the end of its sentence. last_number: the last number where there is
    no mark at all.
    """
    text = text[-MAX_TEXT:]
    found = boxed(text)
    if found is not None:
        return found
    tags = TAG.findall(text)
    if tags:
        return tags[-1].strip()
    for mark in (r"^#### *(.*)$", r"^A: *(.*)$"):
        lines = re.findall(mark, text, re.MULTILINE)
        if lines:
            return lines[-1].strip() or None
    phrases = list(PHRASE.finditer(text))
    if phrases:
        line = text[phrases[-1].end() :].strip().split("\n")[0]
        return re.split(r"(?<=[^\s\d])\.\s|\.\s+(?=[A-Z])|\.$", line)[0].strip(" *\t") or None
    numbers = NUMBER.findall(text) if last_number else []
    return numbers[-1].strip() if numbers else None
