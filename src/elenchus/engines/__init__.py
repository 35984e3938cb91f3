"""The sampling protocol: what every engine offers, whatever runs underneath.

An engine is any object with the two methods of `Engine`. Prompts are rendered text (see `elenchus.conversation`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Sampling:
    """How to sample. temperature 0 is greedy; `stop` are words that end a sample (kept in its text)."""

    temperature: float = 1.0
    max_tokens: int = 64
    top_p: float = 1.0
    top_k: int = 0  # 0: off
    stop: tuple[str, ...] = ()


@dataclass(frozen=True)
class Completion:
    """One sample. `tokens` exclude the end token; `logprobs` are those of the *untempered* model, one per token,
    with one more for the end token where `finish` is "end"."""

    tokens: tuple[int, ...]
    text: str
    logprobs: tuple[float, ...]
    finish: str  # "end": the model ended; "stop": a stop word; "length": max_tokens


@dataclass(frozen=True)
class Scored:
    """Log-probabilities of given completions, one per token (the end token included where asked)."""

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]


class Engine(Protocol):
    """Samples and scores in batches, deterministically for a seed."""

    def sample(self, prompts: list[str], sampling: Sampling, seed: int, n: int = 1) -> list[list[Completion]]:
        """Return n completions for each prompt. A prompt's samples depend on (model, prompt, seed, how many equal
        prompts stand before it) only, not on what else is in the batch, up to floating-point ties."""

    def score(self, prompts: list[str], completions: list[str], end: bool = True) -> list[Scored]:
        """Return each completion's token log-probabilities given its prompt (temperature 1)."""
