"""The model critic: a language model's critiques, read strictly. What cannot be read is counted, never guessed."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from elenchus import conversation
from elenchus.critics import rows
from elenchus.critics.drafts import Draft
from elenchus.critics.format import BAD, GOOD, VERDICT_WORDS, parse
from elenchus.engines import Completion, Engine, Sampling


def prompt(tokenizer, draft: Draft) -> str:
    """Return the prompt text that asks for a critique of `draft`."""
    return conversation.render(tokenizer, conversation.critique(draft.problem.prompt, draft.text), "critic")


def criticise(
    engine: Engine, tokenizer, drafts: Sequence[Draft], critic: str, sampling: Sampling, seed: int, n: int = 1
) -> list[dict]:
    """Return n `critiques` rows for each draft, samples of a draft together.

    confidence: the smallest probability, at temperature 1, among the critique's verdict words.
    """
    found = []
    completions = engine.sample([prompt(tokenizer, d) for d in drafts], sampling, seed, n)
    for draft, samples in zip(drafts, completions, strict=True):
        for i, completion in enumerate(samples):
            text = completion.text.strip()
            said = parse(text, len(draft.steps), draft.family.error_types())
            sure = min((p for _, p in verdicts(tokenizer, completion)), default=math.nan)
            facts = {"confidence": sure, "tokens": len(completion.tokens), "logprob": sum(completion.logprobs)}
            found.append(rows.row(draft, critic, i, text, said, **facts))
    return found


def step_scores(
    engine: Engine, tokenizer, drafts: Sequence[Draft], sampling: Sampling, seed: int
) -> list[list[float] | None]:
    """Return the probability of "good" at each step of each draft, None where the critique could not be read.

    p where the critic writes "good" with probability p, 1 - p where it writes "bad": the words exclude each other.
    """
    found: list[list[float] | None] = []
    completions = engine.sample([prompt(tokenizer, d) for d in drafts], sampling, seed, 1)
    for draft, (completion,) in zip(drafts, completions, strict=True):
        said = parse(completion.text.strip(), len(draft.steps), draft.family.error_types())
        words = [(w, p) for w, p in verdicts(tokenizer, completion) if w in (GOOD, BAD)]
        readable = said.parsed and len(words) == len(draft.steps)
        found.append([p if w == GOOD else 1.0 - p for w, p in words] if readable else None)
    return found


def verdicts(tokenizer, completion: Completion) -> list[tuple[str, float]]:
    """Return (word, its probability) of each verdict word in a completion, in order.

    A word's probability is the product of those of the tokens that spell it.
    """
    spans, at = [], 0
    for token in completion.tokens:
        piece = tokenizer.decode([token]).strip()
        start = completion.text.find(piece, at) if piece else at
        if start < 0:  # part of a character: it belongs where we are
            start, piece = at, ""
        at = start + len(piece)
        spans.append((start, at))
    found = []
    for match in re.finditer(r"\S+", completion.text):
        if match.group() in VERDICT_WORDS:
            spelled = [lp for (a, b), lp in zip(spans, completion.logprobs) if a < match.end() and b > match.start()]
            found.append((match.group(), math.exp(min(sum(spelled), 0.0))))
    return found
