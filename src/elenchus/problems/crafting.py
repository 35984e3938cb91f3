"""Crafting: an interactive world in text. Reach a goal item from what is in the bag, one action a turn (TextCraft's task).

    question   make bow from hammer reed reed wood sand
    solution   join reed reed <user> rope <assistant> join rope wood <user> done

A step is an action and what the world answers; the role words between them are those of the chat template, so that a
solution's text reads token by token as the dialogue of an agent (assistant) with its world (user). The recipes are one
fixed book. Ingredients are consumed. `join a b` of things that no recipe joins makes junk of them, for good; what has
been made can be taken apart again by `part c` where it was put together (a bow), not where it was fired (a brick).
So some mistakes can be undone, some only cost an action, and some leave no way to the goal. `wait` changes nothing and
costs nothing: it is the word by which an agent says that it has made a mistake (Agent-R, 2501.11425).

An action is right if it is the first of a shortest way to the goal. An episode ends when the goal is made, or when the
actions (the shortest way's and `slack` more) or as many waits as `slack` are used up.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field, model_validator

from elenchus.critics.format import NONE, WORDS
from elenchus.problems import Check, Drill, Problem, Solution
from elenchus.worlds.crafting import (
    APART,
    BOOK,
    DONE,
    JOIN,
    JUNK,
    MUMBLE,
    NOTHING,
    OK,
    PART,
    PRODUCT,
    RAW,
    WAIT,
    World,
    best,
    effect,
    fewest,
    moves,
)

ACTOR, WORLD = "<assistant>", "<user>"
ERRORS = ("waste", "missing", "detour", "dead", "format")
UNLIMITED = 10**6
GOALS, MADE = tuple(list(BOOK)[6:]), tuple(list(BOOK)[:6])  # MADE: what is made of raw things alone


class Options(BaseModel):
    """The difficulty of generated worlds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_actions: int = Field(3, ge=1, le=8, description="fewest actions of a shortest way")
    max_actions: int = Field(5, ge=1, le=8, description="most actions of a shortest way")
    slack: int = Field(4, ge=0, le=8, description="actions beyond the shortest way; waits allowed")
    spare: int = Field(3, ge=0, le=6, description="most things in the bag that no shortest way needs")

    @model_validator(mode="after")
    def _ordered(self) -> Options:
        if self.min_actions > self.max_actions:
            raise ValueError(f"min_actions {self.min_actions} is above max_actions {self.max_actions}")
        return self


# -- the contract of families ------------------------------------------------------------------------------------------


def generate(options: Options, rng: random.Random) -> Problem:
    """Return one solvable world: what a goal needs, some of it already made or still inside other things, and spares."""
    while True:
        goal = rng.choice(GOALS)
        bag = list(BOOK[goal][0])
        for _ in range(8):
            i = rng.randrange(len(bag))
            if bag[i] in BOOK and rng.random() < 0.8:
                bag[i : i + 1] = BOOK[bag[i]][0]
        if rng.random() < 0.35:  # one thing is still inside another, beside something else
            i = rng.randrange(len(bag))
            inside = [p for p, (ingredients, again) in BOOK.items() if again and p != goal and bag[i] in ingredients]
            bag[i : i + 1] = [rng.choice(inside)] if inside else [bag[i]]
        bag += [rng.choice((*RAW, *MADE, *GOALS[:4])) for _ in range(rng.randint(0, options.spare))]
        rng.shuffle(bag)
        need = fewest(tuple(sorted(bag)), goal)
        if need is not None and options.min_actions <= need <= options.max_actions:
            return build(goal, bag, options.slack)


def build(goal: str, bag: list[str], slack: int) -> Problem:
    """Return the problem of making `goal` from `bag`; ValueError where there is no way, or nothing to do."""
    need = fewest(tuple(sorted(bag)), goal)
    if not need:
        raise ValueError(f"make {goal} from {' '.join(bag)}: {'no way to do that' if need is None else 'it is there'}")
    prompt = f"make {goal} from {' '.join(bag)}"
    digest = hashlib.sha256(f"crafting {slack} {prompt}".encode()).hexdigest()
    meta = {"goal": goal, "bag": list(bag), "slack": slack, "difficulty": need}
    return Problem(f"crafting-{digest[:12]}", "crafting", prompt, DONE, meta)


def environment(problem: Problem, actions: Sequence[str] = (), limited: bool = True) -> World:
    """Return the problem's world after `actions` (reset and replay). limited: it is over when the actions are used up."""
    meta = problem.meta
    limits = (meta["difficulty"] + meta["slack"], meta["slack"]) if limited else (UNLIMITED, UNLIMITED)
    return World(meta["goal"], meta["bag"], *limits, actions)


def written(problem: Problem, actions: Sequence[str], limited: bool = True) -> list[str]:
    """Return the steps that `actions` make: each with the world's answer. Actions after the end are left out."""
    world, steps = environment(problem, limited=limited), []
    for action in actions:
        if world.over:
            break
        steps.append(step(action, world.step(action)[0]))
    return steps


def step(action: str, answer: str) -> str:
    """Return the step of an action and the world's answer."""
    return f"{action} {WORLD} {answer}"


def action_of(step: str) -> str:
    """Return the action of a step."""
    return step.partition(f" {WORLD} ")[0]


def readable(action: str) -> bool:
    """Return whether a text is an action (possible or not)."""
    verb, *things = action.split(" ")
    known = all(thing in BOOK or thing in RAW for thing in things)
    return action in (WAIT, MUMBLE) or (known and len(things) == {JOIN: 2, PART: 1}.get(verb, -1))


def messages(problem: Problem, steps: list[str] | tuple[str, ...]) -> list[dict[str, str]]:
    """Return the dialogue of agent and world up to here, the question first."""
    said = [{"role": "user", "content": problem.prompt}]
    for step in steps:
        action, _, answer = step.partition(f" {WORLD} ")
        said += [{"role": "assistant", "content": action}, {"role": "user", "content": answer}]
    return said


def score(problem: Problem, steps: list[str] | tuple[str, ...]) -> float:
    """Return what an episode is worth: 0 without the goal, 1 by a shortest way, 1/2 with all actions used. Waits are free."""
    if not steps or not steps[-1].endswith(f" {DONE}"):
        return 0.0
    taken = sum(action_of(step) != WAIT for step in steps)
    extra = taken - problem.meta["difficulty"]
    return max(0.0, 1.0 - extra / (2 * problem.meta["slack"])) if extra > 0 else 1.0


def reference(problem: Problem) -> list[str]:
    """Return the steps of a shortest way (the same one every time)."""
    return _follow(problem, [])


def render(problem: Problem, steps: list[str]) -> str:
    """Return the text of a solution: the dialogue without its question."""
    return f" {ACTOR} ".join(steps)


def parse(problem: Problem, text: str) -> Solution:
    """Return the steps that the actions in `text` make; the answer is the world's last.

    What the text says that the world answered is not believed: the actions are played. Not ok where one cannot be read.
    A text that stops before the episode is over has given up; one that goes on after it is cut there.
    """
    actions = [action_of(part) for part in text.split(f" {ACTOR} ")]
    known = next((i for i, action in enumerate(actions) if not readable(action)), len(actions))
    steps = written(problem, actions[:known])
    ok = known == len(actions)
    return Solution(tuple(steps), steps[-1].split()[-1] if ok else "", ok)


def check_answer(problem: Problem, answer: str) -> bool:
    """Return whether the world's last answer says that the goal is made."""
    return answer == DONE


def check_steps(problem: Problem, steps: list[str]) -> list[Check]:
    """Return the verdict on each action: right if it is the first of a shortest way; a wait is right while some are allowed.

    Errors: `dead` (no way to the goal is left, or not with the actions left), `waste` (junk), `missing` (impossible:
    nothing happens), `detour` (anything else that leads no nearer); `format` for a step that cannot be read, whose
    answer is not the world's, or that comes after the end. working: the step's action; expected: the world's answer to
    the best action (the step's own where it is one); claimed: the answer to the step.
    """
    world, checks = environment(problem), []
    for step in steps:
        action, _, answer = step.partition(f" {WORLD} ")
        ought, before = best(world), world.left
        expected = NONE if ought is None else world.answer(ought)
        if world.over or not readable(action) or world.answer(action) != answer:
            checks.append(Check(False, "format", NONE, expected, NONE))
            continue
        if action == WAIT:
            spent = world.step(action)[1]
            checks.append(Check(not spent, "dead" if spent else "", WAIT, OK, answer))
            continue
        world.step(action)
        after = world.left
        if before is not None and after == before - 1:
            checks.append(Check(True, "", action, answer, answer))
            continue
        error = {JUNK: "waste", NOTHING: "missing"}.get(answer, "detour")
        checks.append(Check(False, "dead" if after is None else error, action, expected, answer))
    return checks


def corrupt(problem: Problem, rng: random.Random, rate: float) -> list[str]:
    """Return an episode in which each action is wrong with probability `rate`, and right again after it where it can be.

    Wrong actions: half possible ones that lead no nearer, the rest joins of things in the bag that make junk, and
    impossible ones. Where no way is left, actions are drawn at random.
    """
    world, steps = environment(problem), []
    while not world.over:
        ought = best(world)
        action = ought if ought is not None and not rng.random() < rate else _wrong(world, rng)
        steps.append(step(action, world.step(action)[0]))
        if action != ought and not world.over and world.waits_left and rng.random() < 0.2:
            steps.append(step(WAIT, world.step(WAIT)[0]))
    return steps


def error_types() -> tuple[str, ...]:
    """Return the names that Check.error can take."""
    return ERRORS


def distance(problem: Problem, steps: list[str]) -> int | None:
    """Return the fewest actions that lead on from `steps` to the goal; None where none do ("dead")."""
    world = environment(problem)
    for step in steps:
        action, _, answer = step.partition(f" {WORLD} ")
        if world.over or not readable(action) or world.step(action)[0] != answer:
            return None
    return world.left


def vocabulary(options: Options) -> list[str]:
    """Return the words of questions, episodes and critiques."""
    marks = [f"#{i + 1}" for i in range(options.max_actions + 2 * options.slack + 1)]
    answers = [JUNK, NOTHING, APART, OK, DONE]
    return ["make", "from", JOIN, PART, WAIT, MUMBLE, *RAW, *BOOK, *answers, ACTOR, WORLD, *marks, *WORDS, *ERRORS]


def drills(options: Options, rng: random.Random) -> Drill:
    """Return six single actions, each with the world's answer where both things are at hand; the answers are predictable."""
    words: list[str] = []
    known: list[bool] = []
    for _ in range(6):
        kind = rng.random()
        if kind < 0.2:
            thing = rng.choice(list(BOOK))
            action, answer = f"{PART} {thing}", APART if BOOK[thing][1] else NOTHING
        else:
            things = rng.choice(list(PRODUCT)) if kind < 0.8 else sorted(rng.choices((*RAW, *BOOK), k=2))
            action, answer = f"{JOIN} {' '.join(things)}", PRODUCT.get(tuple(things), JUNK)
        unit = [*action.split(), WORLD, answer]
        words += unit
        known += [False] * (len(unit) - 2) + [True, True]
    return Drill("", " ".join(words), tuple(known))


def _follow(problem: Problem, actions: list[str]) -> list[str]:
    """Return the steps of the reference way that follows `actions`."""
    world, steps = environment(problem, actions), []
    while (action := best(world)) is not None:
        steps.append(step(action, world.step(action)[0]))
    return steps


def _wrong(world: World, rng: random.Random) -> str:
    """Return an action that is not the first of a shortest way."""
    need = fewest(world.bag, world.goal)
    while True:
        possible, kind = moves(world.bag), rng.random()
        if kind < 0.5 and possible:
            action = rng.choice(possible)
        elif kind < 0.8 and len(world.bag) > 1:
            action = f"{JOIN} {' '.join(sorted(rng.sample(world.bag, 2)))}"
        elif kind < 0.9:
            action = f"{JOIN} {' '.join(rng.choice(list(PRODUCT)))}"
        else:
            action = MUMBLE
        if need is None or fewest(effect(world.bag, action)[0], world.goal) != need - 1:
            return action
