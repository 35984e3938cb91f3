"""Training examples as tokens: prompts through the chat template, completions that end with the end token."""

from __future__ import annotations

import json

from elenchus.conversation import render
from elenchus.errors import UserError


def encode(tokenizer, messages: str, reply: str, completion: str) -> tuple[list[int], list[int]]:
    """Return (prompt ids, completion ids with the end token); `messages` is JSON.

    The two are tokenized apart, as a sampler meets them. The template writes the special tokens of the prompt itself.
    """
    prompt = render(tokenizer, json.loads(messages), reply)
    ids = [tokenizer(text, add_special_tokens=False).input_ids for text in (prompt, completion)]
    return ids[0], [*ids[1], tokenizer.eos_token_id]


def plain_prompt(tokenizer, messages: list[dict], reply: str) -> str:
    """Return a prompt's text for trainers that tokenize it with special tokens: a first token comes once, not twice."""
    text = render(tokenizer, messages, reply)
    bos = tokenizer.bos_token
    if bos and text.startswith(bos) and tokenizer(text).input_ids[:2] == [tokenizer.bos_token_id] * 2:
        return text[len(bos) :]
    return text


def longest(model, max_length: int) -> int:
    """Return the most tokens that an example may have: `max_length`, 0 for the model's own context."""
    context = getattr(model.config, "max_position_embeddings", None) or 1 << 30
    return min(max_length or context, context)


def check_packing(model) -> None:
    """Raise UserError where `model` lets examples that stand in one row see each other.

    Positions that start anew mark an example's begin; whether a model's attention heeds them is tried out: a short text is
    read alone and behind another one.
    """
    import torch

    ids = torch.arange(8, device=model.device)[None] % model.config.vocab_size
    positions = torch.tensor([[0, 1, 2, 3, 4, 0, 1, 2]], device=model.device)
    with torch.no_grad():
        alone = model(input_ids=ids[:, 5:], use_cache=False).logits
        try:
            behind = model(input_ids=ids, position_ids=positions, use_cache=False).logits[:, 5:]
        except TypeError:  # a model without positions
            behind = model(input_ids=ids, use_cache=False).logits[:, 5:]
    off = (alone - behind).abs().max().item()
    if not off <= 1e-3 * alone.abs().max().item():
        attention = getattr(model.config, "_attn_implementation", "unknown")
        raise UserError(
            f"packing: this model ({type(model).__name__}, attention {attention}) lets examples in one row see each other "
            f"(logits differ by {off:.2g}). Leave it off:\n  packing: false"
        )
