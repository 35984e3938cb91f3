"""The crafting world on bags made by hand: effects, undoing, dead ends, the exact solver, replay."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elenchus.problems import crafting
from elenchus.worlds import crafting as world
from elenchus.worlds.crafting import BOOK, PRODUCT, World, effect, fewest, moves

BOW = crafting.build("bow", ["reed", "wood", "hide", "reed"], slack=4)


def by_force(bag, goal, depth):
    """Return the fewest actions by trying every join of two things and every part, junk too; None beyond `depth`."""
    for n in range(depth + 1):
        bags = {bag}
        for _ in range(n):
            bags = {
                effect(b, action)[0]
                for b in bags
                for action in [
                    *(f"join {x} {y}" for x, y in itertools.combinations(b, 2)),
                    *(f"part {x}" for x in b),
                ]
            }
        if any(goal in b for b in bags):
            return n
    return None


@pytest.mark.parametrize(
    ("bag", "action", "after", "answer"),
    [
        ("reed reed wood", "join reed reed", "rope wood", "rope"),
        ("reed wood", "join reed wood", "", "junk"),
        ("coal ore", "join ore coal", "metal", "metal"),  # the order does not matter
        ("reed wood", "join reed reed", "reed wood", "nothing"),  # there is one reed
        ("bow", "part bow", "rope wood", "apart"),
        ("brick", "part brick", "brick", "nothing"),  # fired
        ("wood", "part wood", "wood", "nothing"),
        ("wood", "part bow", "wood", "nothing"),
        ("wood", "mumble", "wood", "nothing"),
    ],
)
def test_effects_by_hand(bag, action, after, answer):
    assert effect(tuple(sorted(bag.split())), action) == (tuple(sorted(after.split())), answer)


def test_what_can_be_taken_apart_is_what_it_was():
    for product, (ingredients, again) in BOOK.items():
        bag = tuple(sorted(ingredients))
        made, answer = effect(bag, f"join {' '.join(ingredients)}")
        assert (made, answer) == ((product,), product)
        assert effect(made, f"part {product}") == ((bag, "apart") if again else (made, "nothing"))


@pytest.mark.parametrize(
    ("bag", "goal", "need"),
    [
        ("bow", "bow", 0),
        ("rope wood", "bow", 1),
        ("reed reed wood", "bow", 2),
        ("bow metal", "axe", 2),  # part bow, join metal wood
        ("sled metal", "saw", 2),
        ("reed strap wood", "bow", 3),  # the second reed is in the strap
        ("reed wood", "bow", None),
        ("coal ore sand reed reed", "lantern", None),  # one coal for two
        ("coal coal ore sand reed reed", "lantern", 5),
        ("brick brick metal", "forge", None),  # the clay is in the brick for good
    ],
)
def test_solver_by_hand(bag, goal, need):
    assert fewest(tuple(sorted(bag.split())), goal) == need


@given(
    st.lists(st.sampled_from(sorted(BOOK)[:8] + list(crafting.RAW)), min_size=2, max_size=4),
    st.sampled_from(sorted(BOOK)),
)
def test_solver_is_exact(things, goal):
    bag = tuple(sorted(things))
    need = fewest(bag, goal)
    assert by_force(bag, goal, 2) == (need if need is not None and need <= 2 else None)


def test_dead_ends_stay_dead():
    rng = random.Random(1)
    for _ in range(20):
        problem = crafting.generate(crafting.Options(), rng)
        w = crafting.environment(problem, limited=False)
        while fewest(w.bag, w.goal) is not None and not w.over:
            w.step(
                rng.choice([*moves(w.bag), f"join {' '.join(rng.sample(w.bag, 2))}" if len(w.bag) > 1 else "mumble"])
            )
        if w.over:
            continue
        for action in (*moves(w.bag), *(f"join {a} {b}" for a, b in PRODUCT)):
            assert fewest(effect(w.bag, action)[0], w.goal) is None
        assert world.best(w) is None


def test_an_undone_mistake_leaves_the_way_open():
    steps = crafting.written(BOW, ["join hide reed", "part strap"])
    assert [crafting.distance(BOW, steps[:k]) for k in range(3)] == [2, 3, 2]
    checks = crafting.check_steps(BOW, steps)
    assert [c.error for c in checks] == ["detour", ""]  # to undo is right
    assert (checks[0].working, checks[0].expected, checks[0].claimed) == ("join hide reed", "rope", "strap")


def test_what_is_wasted_is_lost():
    steps = crafting.written(BOW, ["join reed wood"])
    assert steps == ["join reed wood <user> junk"] and crafting.distance(BOW, steps) is None
    assert [c.error for c in crafting.check_steps(BOW, steps)] == ["dead"]


def test_too_few_actions_left_is_dead_too():
    steps = crafting.written(BOW, ["mumble"] * 5)
    assert [crafting.distance(BOW, steps[:k]) for k in (4, 5)] == [2, None]
    assert [c.error for c in crafting.check_steps(BOW, steps)] == ["missing"] * 4 + ["dead"]


def test_replay_equals_play():
    rng = random.Random(2)
    for _ in range(50):
        problem = crafting.generate(crafting.Options(), rng)
        steps = crafting.corrupt(problem, rng, 0.4)
        actions = [crafting.action_of(s) for s in steps]
        assert crafting.written(problem, actions) == steps
        cut = rng.randint(0, len(actions))
        replayed = crafting.environment(problem, actions[:cut])
        assert [crafting.step(a, replayed.step(a)[0]) for a in actions[cut:]] == steps[cut:]
        assert replayed.over


def test_waits_are_free_but_few():
    w = World("bow", ["rope", "wood"], actions=1, waits=2)
    assert [w.step("wait") for _ in range(2)] == [("ok", False)] * 2
    assert w.step("join rope wood") == ("done", True)
    with pytest.raises(ValueError, match="over"):
        w.step("wait")
    w = World("bow", ["rope", "wood"], actions=1, waits=0)
    assert w.step("wait") == ("ok", True)


def test_imagined_answers_are_not_believed():
    text = "join hide reed <user> rope <assistant> join rope wood <user> done"
    read = crafting.parse(BOW, text)
    assert read.ok and read.steps == ("join hide reed <user> strap", "join rope wood <user> nothing")
    assert not crafting.check_answer(BOW, read.answer)
    assert not crafting.parse(BOW, "join rope <user> nothing").ok


def test_dialogue():
    assert crafting.messages(BOW, ["join reed reed <user> rope"]) == [
        {"role": "user", "content": "make bow from reed wood hide reed"},
        {"role": "assistant", "content": "join reed reed"},
        {"role": "user", "content": "rope"},
    ]


def test_impossible_problems_are_refused():
    with pytest.raises(ValueError, match="no way"):
        crafting.build("bow", ["wood"], 4)
    with pytest.raises(ValueError, match="it is there"):
        crafting.build("bow", ["bow"], 4)
