"""The crafting world: a bag of things, a fixed book of recipes, actions that consume ingredients, and an exact solver.

`join a b` of things that no recipe joins makes junk of them, for good. `part c` takes apart again what was put together
(a bow), not what was fired (a brick). `wait` changes nothing and costs nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import lru_cache

# product: (its two ingredients, whether it can be taken apart again); what is made of others stands below them
BOOK: dict[str, tuple[tuple[str, str], bool]] = {
    "board": (("wood", "wood"), False),
    "rope": (("reed", "reed"), True),
    "brick": (("clay", "coal"), False),
    "metal": (("coal", "ore"), False),
    "glass": (("coal", "sand"), False),
    "strap": (("hide", "reed"), True),
    "bow": (("rope", "wood"), True),
    "axe": (("metal", "wood"), True),
    "hammer": (("stone", "strap"), True),
    "lamp": (("glass", "rope"), True),
    "sled": (("board", "strap"), True),
    "kiln": (("brick", "clay"), False),
    "saw": (("board", "metal"), True),
    "forge": (("kiln", "metal"), False),
    "lantern": (("lamp", "metal"), True),
    "cart": (("hammer", "sled"), True),
}
PRODUCT = {ingredients: product for product, (ingredients, _) in BOOK.items()}
RAW = ("clay", "coal", "hide", "ore", "reed", "sand", "stone", "wood")
GOALS = tuple(list(BOOK)[6:])
JOIN, PART, WAIT = "join", "part", "wait"
MUMBLE = "mumble"  # what the world hears where an action cannot be read: it costs an action, and nothing happens
JUNK, NOTHING, APART, OK, DONE = "junk", "nothing", "apart", "ok", "done"  # answers; a product's name is one too

Bag = tuple[str, ...]  # what is held, sorted


class World:
    """One world, an `engines.rollout.Environment`. `taken` actions are replayed from the start.

    It is over when the goal is made, when `actions` are used up, or at a wait beyond `waits`.
    """

    def __init__(self, goal: str, bag: Sequence[str], actions: int, waits: int, taken: Sequence[str] = ()):
        self.goal, self.bag, self.actions_left, self.waits_left = goal, tuple(sorted(bag)), actions, waits
        self.over = False
        for action in taken:
            self.step(action)

    def answer(self, action: str) -> str:
        """Return what the world would answer to `action`; it stays as it is."""
        if action == WAIT:
            return OK
        bag, answer = effect(self.bag, action)
        return DONE if self.goal in bag else answer

    @property
    def left(self) -> int | None:
        """Return the fewest actions to the goal; None where there is no way, or none with the actions left."""
        need = fewest(self.bag, self.goal)
        return need if need is not None and need <= self.actions_left else None

    def step(self, action: str) -> tuple[str, bool]:
        """Carry out `action`; return (the world's answer, whether the episode is over). ValueError once it is over."""
        if self.over:
            raise ValueError(f"the episode is over; no further action ({action!r}) is possible")
        if action == WAIT:
            self.waits_left -= 1
            self.over = self.waits_left < 0
            return OK, self.over
        answer = self.answer(action)
        self.bag = effect(self.bag, action)[0]
        self.actions_left -= 1
        self.over = answer == DONE or self.actions_left == 0
        return answer, self.over


def effect(bag: Bag, action: str) -> tuple[Bag, str]:
    """Return what is held after `action` (not a wait), and the world's answer. Impossible actions change nothing."""
    verb, *things = action.split()
    if verb == MUMBLE:
        return bag, NOTHING
    held = list(bag)
    try:
        for thing in things:
            held.remove(thing)
    except ValueError:
        return bag, NOTHING
    if verb == PART:
        ingredients, again = BOOK.get(things[0], ((), False))
        return (tuple(sorted([*held, *ingredients])), APART) if again else (bag, NOTHING)
    made = PRODUCT.get(tuple(sorted(things)), JUNK)
    return tuple(sorted([*held, *([] if made == JUNK else [made])])), made


def moves(bag: Bag) -> list[str]:
    """Return the actions that a recipe allows, in the order in which a reference prefers them."""
    held = set(bag)
    parts = [f"{PART} {thing}" for thing in BOOK if thing in held and BOOK[thing][1]]
    joins = []
    for a, b in PRODUCT:
        if bag.count(a) >= 1 + (a == b) and b in held:
            joins.append(f"{JOIN} {a} {b}")
    return parts + joins


@lru_cache(maxsize=200_000)
def fewest(bag: Bag, goal: str) -> int | None:
    """Return the fewest actions from `bag` to `goal`, None where there is no way. Exact: breadth first, junk left out."""
    seen, queue = {bag}, deque([(bag, 0)])
    while queue:
        now, taken = queue.popleft()
        if goal in now:
            return taken
        for action in moves(now):
            after = effect(now, action)[0]
            if after not in seen:
                seen.add(after)
                queue.append((after, taken + 1))
    return None


def best(world: World) -> str | None:
    """Return the preferred first action of a shortest way, None where the goal is out of reach (or made)."""
    need = fewest(world.bag, world.goal)
    if not need or need > world.actions_left:
        return None
    return next(a for a in moves(world.bag) if fewest(effect(world.bag, a)[0], world.goal) == need - 1)
