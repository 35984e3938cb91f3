"""Labels of dialogues for supervised fine-tuning: the loss is over the completion and over the turns that carry `weight: 1`.

Observations, the question and the turns of weight 0 carry none. A learned turn's loss takes in the token by which the
turn ends: the end token where the chat template writes one, else the word of the next role.
"""

from __future__ import annotations

import json

from elenchus.conversation import render
from elenchus.errors import UserError
from elenchus.training.sft import IGNORED


def on_turns(tokenizer, messages: str, reply: str, completion: str) -> tuple[list[int], list[int]]:
    """Return (token ids, labels) of an example; `messages` is JSON, whose turns may carry `weight`.

    The pieces between and inside learned turns are tokenized apart, as a sampler meets them.
    """
    said = json.loads(messages)
    whole = render(tokenizer, said, reply)
    pieces: list[tuple[str, bool]] = []
    at = 0
    for k, message in enumerate(said):
        if not message.get("weight"):
            continue
        before = render(tokenizer, said[:k], message["role"])
        end = len(before) + len(message["content"])
        if whole[:end] != before + message["content"]:
            raise UserError(
                f"the chat template does not write turn {k + 1} ({message['content']!r}) as a sampler was asked for it; "
                "turns inside a dialogue can then not be learned"
            )
        pieces += [(whole[at : len(before)], False), (message["content"], True)]
        at = end
    pieces += [(whole[at:], False), (completion, True)]
    ids: list[int] = []
    labels: list[int] = []
    ends = False  # the next piece begins with the end of a learned turn
    for text, learned in pieces:
        new = tokenizer(text, add_special_tokens=False).input_ids
        ids += new
        labels += new if learned else [*new[: int(ends)], *[IGNORED] * len(new[int(ends) :])]
        ends = learned
    return [*ids, tokenizer.eos_token_id], [*labels, tokenizer.eos_token_id]
