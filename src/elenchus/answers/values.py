"""Numbers as people write them: exact values, percentages, and units that can be converted.

Everything is exact (fractions): 0.5, 1/2, 50 %, \\frac{1}{2} and 5e-1 are one number, 0.333 and 1/3 are two.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

MAX_DIGITS = 200  # of a number that is read at all; more is nobody's answer, and exact arithmetic on it takes long
SCALES = {"hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}

# unit -> (what it measures, how many of the base unit); only units whose conversion is exact
UNITS: dict[str, tuple[str, Fraction]] = {}
for _what, _units in {
    "length": "mm=1/1000 cm=1/100 dm=1/10 m=1 km=1000 millimeter=1/1000 centimeter=1/100 meter=1 kilometer=1000 "
    "inch=127/5000 foot=381/1250 feet=381/1250 yard=1143/1250 mile=201168/125",
    "mass": "mg=1/1000 g=1 kg=1000 gram=1 kilogram=1000 tonne=1000000",
    "time": "second=1 sec=1 s=1 minute=60 min=60 hour=3600 hr=3600 h=3600 day=86400 week=604800",
    "volume": "ml=1/1000 l=1 milliliter=1/1000 liter=1 litre=1",
    "money": "cent=1/100 dollar=1 usd=1",
    "angle": "degree=1 deg=1",
    "speed": "km/h=1 kmh=1 m/s=18/5 mph=201168/125000",
}.items():
    for _unit in _units.split():
        _name, _, _size = _unit.partition("=")
        UNITS[_name] = (_what, Fraction(_size))

_DECIMAL = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?|\.\d+"
PLAIN = re.compile(rf"(?P<sign>[-+]?)(?P<number>{_DECIMAL})(?:[eE](?P<power>[-+]?\d{{1,3}}))?")
RATIO = re.compile(rf"(?P<sign>[-+]?)(?:(?P<whole>\d+)[ ]+)?(?P<top>{_DECIMAL})[ ]?/[ ]?(?P<bottom>{_DECIMAL})")
FRAC = re.compile(
    rf"(?P<sign>[-+]?)(?P<whole>\d+)?[ ]?\\[dt]?frac(?:\{{(?P<inner>[-+]?)(?P<top>{_DECIMAL})\}}\{{(?P<bottom>{_DECIMAL})\}}"
    r"|(?P<top1>\d)(?P<bottom1>\d))"
)
POWER = re.compile(
    rf"(?P<number>[-+]?(?:{_DECIMAL}))[ ]?(?:\\times|\\cdot|x|×|\*)[ ]?10\^\{{?(?P<power>[-+]?\d{{1,3}})\}}?"
)


@dataclass(frozen=True)
class Number:
    """An exact number. percent: written with a percent sign. unit: "" none, else lower case and singular."""

    value: Fraction
    percent: bool = False
    unit: str = ""


def read(text: str) -> Number | None:
    """Return the number that the whole of `text` states, with its unit, None where it states anything else.

    Read are signs, thousands' commas, decimals, fractions, mixed numbers, powers of ten, currency signs, percentages,
    "million" and the like, and up to four words of unit behind the number.
    """
    text = text.strip()
    if not text or sum(c.isdigit() for c in text) > MAX_DIGITS:
        return None
    # a currency sign stands before or behind the number's sign
    money = re.match(r"([-+]?)\s*(?:\\?\$|€|£|US\$)\s*(.+)$", text)
    if money:
        text = money[1] + money[2]
    for pattern in (POWER, FRAC, RATIO, PLAIN):
        found = pattern.match(text)
        if found:
            value = _value(found.groupdict())
            return None if value is None else _with_unit(value, text[found.end() :].strip(), bool(money))
    return None


def _value(parts: dict) -> Fraction | None:
    """Return the value of a match, None for a fraction over zero."""

    def number(text: str) -> Fraction:
        return Fraction(text.replace(",", "").rstrip(".") or "0")

    sign = -1 if parts.get("sign") == "-" else 1
    if parts.get("number"):
        return sign * number(parts["number"]) * Fraction(10) ** int(parts.get("power") or 0)
    bottom = number(parts.get("bottom") or parts.get("bottom1"))
    if bottom == 0:
        return None
    part = number(parts.get("top") or parts.get("top1")) / bottom
    if parts.get("inner") == "-":
        part = -part
    return sign * (int(parts.get("whole") or 0) + part)


def _with_unit(value: Fraction, rest: str, money: bool) -> Number | None:
    """Return the number with what follows it read as percent sign, scale word and unit; None where it is neither."""
    scale = re.match(r"(hundred|thousand|million|billion|trillion)s?\b\s*", rest, re.IGNORECASE)
    if scale:
        value, rest = value * SCALES[scale[1].lower()], rest[scale.end() :]
    if re.fullmatch(r"\\?%|percent|per cent|percentage points?", rest, re.IGNORECASE):
        return Number(value, percent=True)
    rest = re.sub(r"\^\{?\\circ\}?|°", "degree", rest)
    if rest and not re.fullmatch(r"[A-Za-zµ][\w./²³^'’-]*(?: [A-Za-z(][\w./²³^'’)-]*){0,3}", rest):
        return None
    return Number(value, unit=singular(rest) or ("dollar" if money else ""))


def singular(unit: str) -> str:
    """Return a unit in lower case with its words in the singular ("eggs per days": "egg per day")."""

    def one(word: str) -> str:
        ends = len(word) > 2 and word.endswith("s") and not word.endswith("ss") and word not in UNITS
        return word[:-1] if ends else word

    return " ".join(map(one, unit.lower().rstrip(".").split()))


def in_base(text: str) -> tuple[str, str] | None:
    """Return (digits, base) of a number with its base as index ("4130_5"), None for anything else."""
    found = re.fullmatch(r"([-+]?[0-9A-Fa-f.]+)_\{?(\d+)\}?", text.replace(" ", ""))
    return (found[1].lower(), found[2]) if found else None


def equal(given: Number, gold: Number) -> bool:
    """Return whether two numbers are the same answer.

    A missing unit or percent sign is no error on either side, for the question may have named it; a percentage is
    also its hundredth. Two units must be the same, or convert into each other exactly; of two that are not in `UNITS`
    the words must agree.
    """
    if given.percent != gold.percent:
        share, plain = (given, gold) if given.percent else (gold, given)
        return not plain.unit and plain.value in (share.value, share.value / 100)
    if given.unit and gold.unit and given.unit != gold.unit:
        a, b = UNITS.get(given.unit), UNITS.get(gold.unit)
        if a and b:
            return a[0] == b[0] and given.value * a[1] == gold.value * b[1]
        # "egg" and "egg per day" name one thing at different length
        return given.value == gold.value and bool(set(given.unit.split()) & set(gold.unit.split()))
    return given.value == gold.value
