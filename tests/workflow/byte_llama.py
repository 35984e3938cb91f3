"""A randomly initialised Llama that reads bytes: it knows every text and understands none. For tests of plumbing."""

from __future__ import annotations

from pathlib import Path

from elenchus import models


def make(folder: Path, *, context: int = 4096, template: str | None = None) -> Path:
    """Write the model and its byte-level tokenizer to `folder`; template: its chat template, None none."""
    from tokenizers import Tokenizer, decoders, pre_tokenizers
    from tokenizers import models as kinds
    from transformers import PreTrainedTokenizerFast

    words = ["<pad>", "<end>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    raw = Tokenizer(kinds.BPE(vocab={w: i for i, w in enumerate(words)}, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<pad>", eos_token="<end>")
    tokenizer.chat_template = template
    models.save(models.new_model(len(words), width=32, layers=1, heads=2, context=context, seed=1), tokenizer, folder)
    return folder
