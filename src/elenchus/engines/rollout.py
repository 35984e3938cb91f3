"""Many multi-turn episodes in lock-step: all episodes that wait for one model are sampled in one batch.

An episode is a generator. It yields a `Turn` (which model speaks, upon which messages), is sent the `Completion`, and
returns whatever its caller wants of it. Between turns it may do anything: ask an environment or a tool, append what it
observed, end early, speak to another model. Two examples stand below: `solve_critique_refine` and `act`.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from elenchus import conversation, seeds
from elenchus.conversation import Message
from elenchus.engines import Completion, Engine, Sampling


@dataclass(frozen=True)
class Turn:
    """A request for a reply. role: which of the rollout's engines; reply: the conversation's role that it speaks in."""

    role: str
    messages: tuple[Message, ...]
    reply: str = "assistant"


Episode = Generator[Turn, Completion, Any]


@dataclass(frozen=True)
class Played:
    """A finished episode: what it returned, and its turns with their completions."""

    result: Any
    turns: tuple[tuple[Turn, Completion], ...]


class Environment(Protocol):
    """What an agent acts upon (a tool, a game, a simulated user)."""

    def step(self, action: str) -> tuple[str, bool]:
        """Carry out `action`; return (what is observed, whether the episode is over)."""


def rollout(
    episodes: Sequence[Episode],
    engines: Mapping[str, Engine],
    sampling: Sampling | Mapping[str, Sampling],
    seed: int,
    max_turns: int = 64,
) -> list[Played]:
    """Play all episodes to their end and return them in order.

    engines: by role, each with its `tokenizer`. sampling: one for all roles, or by role. Deterministic for a seed;
    RuntimeError where an episode has not ended after `max_turns` turns.
    """
    played: list[list[tuple[Turn, Completion]]] = [[] for _ in episodes]
    results: list[Any] = [None] * len(episodes)
    waiting: dict[int, Turn] = {}

    def advance(i: int, completion: Completion | None) -> None:
        try:
            waiting[i] = episodes[i].send(completion)
        except StopIteration as end:
            results[i] = end.value

    for i in range(len(episodes)):
        advance(i, None)
    for k in range(max_turns):
        if not waiting:
            break
        turns, replies = dict(waiting), {}
        for role in sorted({turn.role for turn in turns.values()}):
            if role not in engines:
                raise ValueError(f"an episode asks for role {role!r}; there are engines for {sorted(engines)}")
            engine, asked = engines[role], [i for i in turns if turns[i].role == role]
            how = sampling if isinstance(sampling, Sampling) else sampling[role]
            prompts = [conversation.render(engine.tokenizer, list(turns[i].messages), turns[i].reply) for i in asked]
            samples = engine.sample(prompts, how, seeds.derive(seed, k, role))
            replies.update(zip(asked, (completion for (completion,) in samples)))
        waiting.clear()
        for i in sorted(replies):
            played[i].append((turns[i], replies[i]))
            advance(i, replies[i])
    if waiting:
        raise RuntimeError(f"{len(waiting)} of {len(episodes)} episodes have not ended after {max_turns} turns")
    return [Played(result, tuple(turns)) for result, turns in zip(results, played)]


def solve_critique_refine(question: str) -> Episode:
    """Play: role "actor" solves, role "critic" criticises, "actor" refines. Returns the three texts."""
    solution = (yield Turn("actor", tuple(conversation.solve(question)))).text.strip()
    critique = (yield Turn("critic", tuple(conversation.critique(question, solution)), reply="critic")).text.strip()
    refined = yield Turn("actor", tuple(conversation.refine(question, solution, critique)))
    return solution, critique, refined.text.strip()


def act(task: str, environment: Environment, max_actions: int) -> Episode:
    """Play: role "actor" acts, the environment answers as the user, until it is over. Returns all messages."""
    messages = conversation.solve(task)
    for _ in range(max_actions):
        action = (yield Turn("actor", tuple(messages))).text.strip()
        observed, over = environment.step(action)
        messages = [*messages, {"role": "assistant", "content": action}, {"role": "user", "content": observed}]
        if over:
            break
    return messages
