"""Preferences between sibling steps of a search tree whose root moved, as MCTS-DPO (2405.00451) extracts them.

At every depth of the committed path that has two children or more: the child with the largest Q against the one with the
least. Label smoothing from visits, a = 1 / (N_w / N_l + 1) (paper, section 2.2), is how likely the pair is the wrong way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from elenchus.search.labels import Branch


@dataclass(frozen=True)
class Preference:
    """Two children of node `parent`, as the nodes whose text continues it: a child, and what is its only way on."""

    parent: int
    chosen: tuple[int, ...]
    rejected: tuple[int, ...]


def smoothing(chosen_visits: int, rejected_visits: int, rule: str) -> float:
    """Return a, in [0, 1]: the probability that the preference is the other way round.

    paper: 1 / (N_w / N_l + 1) = N_l / (N_w + N_l), 0 where neither was visited. code: min(N_l / (max(1, N_w) + N_l),
    0.5). none: 0.
    """
    if rule == "none" or not rejected_visits:
        return 0.0
    if rule == "code":
        return min(rejected_visits / (max(1, chosen_visits) + rejected_visits), 0.5)
    return rejected_visits / (chosen_visits + rejected_visits)


def path(tree: Sequence[Branch], node: int) -> list[int]:
    """Return the numbers from the root to `node`."""
    found = [node]
    while tree[found[-1]].parent >= 0:
        found.append(tree[found[-1]].parent)
    return found[::-1]


def pairs(tree: Sequence[Branch], committed: int, most: int) -> list[Preference]:
    """Return the preferences along the path to node `committed`, from the root down, at most `most`.

    Siblings of equal value say nothing. A candidate that leads to a single child goes on with it (paper, footnote; code).
    """
    children: dict[int, list[int]] = {}
    for i, node in enumerate(tree):
        children.setdefault(node.parent, []).append(i)

    def chain(node: int) -> tuple[int, ...]:
        found = [node]
        while len(below := children.get(found[-1], [])) == 1:
            found += below
        return tuple(found)

    preferences = []
    for parent in path(tree, committed)[:-1]:
        siblings = children[parent]
        best, worst = (rule(siblings, key=lambda i: tree[i].value) for rule in (max, min))
        if tree[best].value > tree[worst].value:
            preferences.append(Preference(parent, chain(best), chain(worst)))
    return preferences[:most]
