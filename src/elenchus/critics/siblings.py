"""Divergent sibling paths of search trees: where a wrong path left a right one, and the critique that this teaches.

Source: MMC (arXiv 2504.11009).  For every wrong path the right path of the deepest common ancestor; the first step behind
the ancestor on the wrong side is taken to be the first error.  An annotator that sees the right branch needs no judgement
of its own to find it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from elenchus.critics.drafts import Draft
from elenchus.critics.format import NONE, Unit, from_checks
from elenchus.search.labels import Branch


@dataclass(frozen=True)
class Divergence:
    """A wrong leaf and the right leaf that it is compared with. at: 0-based index of the deviating step."""

    wrong: int
    right: int
    at: int


def paths(tree: Sequence[Branch], leaf: int) -> list[int]:
    """Return the nodes from the root to `leaf`, both included."""
    found = [leaf]
    while tree[found[-1]].parent >= 0:
        found.append(tree[found[-1]].parent)
    return found[::-1]


def divergences(tree: Sequence[Branch]) -> list[Divergence]:
    """Return, for each wrong terminal leaf, the right leaf of the deepest common ancestor (the first of several).

    A tree without a right leaf has none.
    """
    right = {i: paths(tree, i) for i, node in enumerate(tree) if node.terminal and node.correct}
    if not right:
        return []
    found = []
    for i in (i for i, node in enumerate(tree) if node.terminal and not node.correct):
        own = paths(tree, i)
        shared = {leaf: _shared(own, path) for leaf, path in right.items()}
        best = max(shared, key=lambda leaf: shared[leaf])
        found.append(Divergence(i, best, shared[best] - 1))  # the root is shared, and no step
    return found


def contrast(draft: Draft, at: int, right_step: str) -> list[Unit]:
    """Return the critique of a wrong path by one who sees the right branch, which goes on with `right_step` at `at`.

    The shared steps are good, the deviating one is bad and its fix is the right branch's; behind it each step is judged
    from the step before it. Where the deviating step is innocent, its error is the family's first type.
    """
    truth = draft.truth()
    mended = from_checks(draft.family.check_steps(draft.problem, [*draft.steps[:at], right_step]))[-1]
    error = truth[at].error or draft.family.error_types()[0]
    expected = mended.claimed if mended.claimed != NONE else truth[at].expected
    bad = replace(truth[at], ok=False, error=error, working=mended.working, expected=expected)
    return [*(approved(u, s) for u, s in zip(truth[:at], draft.steps)), bad, *truth[at + 1 :]]


def fine(draft: Draft) -> list[Unit]:
    """Return the critique of a path that ends right: all its steps are taken to be good."""
    return [approved(unit, step) for unit, step in zip(draft.truth(), draft.steps, strict=True)]


def approved(unit: Unit, step: str) -> Unit:
    """Return the unit that calls a step good: its own operation, and the result that it claims."""
    own, sign, _ = step.rpartition(" = ")
    return replace(unit, ok=True, error="", working=own if sign else unit.working, expected=unit.claimed)


def _shared(a: Sequence[int], b: Sequence[int]) -> int:
    """Return how many nodes two paths have in common from the root on."""
    return next((k for k, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
