"""A recipe's stages in groups, each a box of the picture: seeds folded, then rounds and names that stand alike in the graph."""

from __future__ import annotations

from dataclasses import dataclass, field

from elenchus.lab import SHARED
from elenchus.plan import RecipePlan


@dataclass(eq=False)
class Group:
    """Stages that one box stands for."""

    arm: str
    kind: str
    names: list[str]
    stages: set[str] = field(default_factory=set)
    per_seed: int = 0
    rounds: set[int] = field(default_factory=set)
    parents: set[int] = field(default_factory=set)
    loops: set[int] = field(default_factory=set)  # parents of the round before
    layer: int = 0
    x: float = 0.0


def groups(recipe: RecipePlan) -> list[Group]:
    """Return the boxes, parents first: stages of one arm, name and kind, whatever their seed and round; then look-alikes merged."""
    homes: dict[str, tuple[str, str, int | None]] = {}
    arms_of: dict[str, set[str]] = {}
    first_seed = min(n.seed for n in recipe.named)
    for n in recipe.named:
        homes.setdefault(n.stage.digest, (n.arm, n.name, n.round))
        arms_of.setdefault(n.stage.digest, set()).add(n.arm)
    of_first_seed = {n.stage.digest for n in recipe.named if n.seed == first_seed}
    found: dict[tuple, int] = {}
    boxes: list[Group] = []
    index: dict[str, int] = {}
    for s in recipe.stages:
        if s.digest not in homes:
            continue  # the summary: everything leads to it
        arm, name, round = homes[s.digest]
        arm = arm if len(arms_of[s.digest]) == 1 else SHARED
        key = (arm, name, s.kind)
        if key not in found:
            found[key] = len(boxes)
            boxes.append(Group(arm, s.kind, [name]))
        i = index[s.digest] = found[key]
        box = boxes[i]
        box.stages.add(s.digest)
        box.per_seed += s.digest in of_first_seed
        if round:
            box.rounds.add(round)
        for parent in s.parents:
            j = index[parent.digest]
            back = homes[parent.digest][2]
            if j == i or (back and round and back < round):
                box.loops.add(j)
            else:
                box.parents.add(j)
    for box in boxes:
        box.loops -= box.parents
    return merge(boxes)


def merge(boxes: list[Group]) -> list[Group]:
    """Return boxes with those merged that have arm, kind and their children's kinds in common and do not lead to each other."""
    alive = dict(enumerate(boxes))
    while True:
        above = ancestors(alive)
        children: dict[int, set[str]] = {i: set() for i in alive}
        for b in alive.values():
            for p in b.parents:
                children[p].add(b.kind)
        seen: dict[tuple, list[int]] = {}
        pair = None
        for i, b in alive.items():
            key = (b.arm, b.kind, frozenset(children[i]))
            for j in seen.get(key, ()):
                if j not in above[i] and i not in above[j] and not between(alive, above, i, j):
                    pair = (j, i)
                    break
            if pair:
                break
            seen.setdefault(key, []).append(i)
        if pair is None:
            return renumber(alive)
        keep, gone = alive[pair[0]], alive.pop(pair[1])
        keep.names += gone.names
        keep.stages |= gone.stages
        keep.per_seed += gone.per_seed
        keep.rounds |= gone.rounds
        keep.parents |= gone.parents
        keep.loops |= gone.loops
        for b in alive.values():
            for group in (b.parents, b.loops):
                if pair[1] in group:
                    group.discard(pair[1])
                    group.add(pair[0])


def ancestors(alive: dict[int, Group]) -> dict[int, set[int]]:
    """Return all boxes above each box."""
    above: dict[int, set[int]] = {}

    def of(i: int) -> set[int]:
        if i not in above:
            above[i] = set()
            above[i] = set().union(alive[i].parents, *(of(p) for p in alive[i].parents))
        return above[i]

    for i in alive:
        of(i)
    return above


def between(alive: dict[int, Group], above: dict[int, set[int]], i: int, j: int) -> bool:
    """Return whether some box lies above one of the two and below the other: merging them would make a cycle."""
    return any((i in above[k] and k in above[j]) or (j in above[k] and k in above[i]) for k in alive)


def renumber(alive: dict[int, Group]) -> list[Group]:
    """Return the boxes as a list in topological order, parents and loops as indices into it."""
    above = ancestors(alive)
    order = sorted(alive, key=lambda i: (len(above[i]), i))
    position = {old: new for new, old in enumerate(order)}
    boxes = [alive[i] for i in order]
    for b in boxes:
        b.parents = {position[p] for p in b.parents}
        b.loops = {position[p] for p in b.loops}
    return boxes


def reduce(boxes: list[Group]) -> None:
    """Drop the edges that other edges imply."""
    above = ancestors(dict(enumerate(boxes)))
    for b in boxes:
        b.parents = {p for p in b.parents if not any(p in above[q] for q in b.parents if q != p)}
