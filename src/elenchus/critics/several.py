"""Critiques of the same solutions by several critics, brought together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from elenchus.critics.drafts import Draft
from elenchus.critics.format import Critique, parse
from elenchus.errors import UserError

if TYPE_CHECKING:
    import pandas as pd


def name_of(critic: str, sample: int) -> str:
    """Return the name of one of a critic's samples: the critic's, with ".<sample>" from the second sample on."""
    return f"{critic}.{sample}" if sample else critic


def by_solution(tables: Iterable[pd.DataFrame]) -> dict[str, dict[str, str]]:
    """Return {solution id: {critic's name: text}} of several `critiques` tables, in their order.

    UserError where two critics of one solution have the same name.
    """
    found: dict[str, dict[str, str]] = {}
    for table in tables:
        for solution, critic, sample, text in zip(*(table[c] for c in ("solution_id", "critic", "sample", "text"))):
            texts, name = found.setdefault(solution, {}), name_of(critic, sample)
            if name in texts:
                raise UserError(f"two critiques of {solution} by {name!r}: give each critic a name of its own")
            texts[name] = text
    return found


def read(draft: Draft, texts: dict[str, str]) -> dict[str, Critique]:
    """Return each critic's critique of `draft`, parsed."""
    types = draft.family.error_types()
    return {name: parse(text, len(draft.steps), types) for name, text in texts.items()}
