"""Models and tokenizers on disk: built, saved and loaded in one way everywhere (safetensors, float32, no remote code)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from elenchus.errors import CorruptResult

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

PAD, END, UNKNOWN = "<pad>", "<end>", "<unknown>"

# One word per role, then the content; the generation prompt is the word of the role that replies.
CHAT_TEMPLATE = (
    "{% for m in messages %}{{ '<' + m.role + '> ' + m.content + ' ' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<' + (reply or 'assistant') + '> ' }}{% endif %}{# user assistant critic #}"
)


def new_tokenizer(words: list[str]) -> PreTrainedTokenizerFast:
    """Return a word-level tokenizer over `words` plus the special and role words; text is split at white space."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = [PAD, END, UNKNOWN, "<user>", "<assistant>", "<critic>"]
    vocab = {word: i for i, word in enumerate([*special, *sorted(set(words) - set(special))])}
    raw = Tokenizer(models.WordLevel(vocab, unk_token=UNKNOWN))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token=PAD,
        eos_token=END,
        unk_token=UNKNOWN,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def new_model(vocab_size: int, *, width: int, layers: int, heads: int, context: int, seed: int) -> LlamaForCausalLM:
    """Return a randomly initialised Llama causal LM in float32 (tied embeddings, feed-forward width 8/3 of `width`)."""
    import torch
    from transformers.models.llama import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=width,
        intermediate_size=int(8 * width / 3 / 32) * 32,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=context,
        tie_word_embeddings=True,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed % 2**63)
        return LlamaForCausalLM(config)


def save(model, tokenizer, folder: Path) -> None:
    """Write weights (safetensors), configuration and tokenizer to `folder`."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def load_tokenizer(folder: Path):
    """Return the tokenizer of a model folder, padding on the left."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, padding_side="left", local_files_only=True, trust_remote_code=False)


def load(folder: Path):
    """Return (model, tokenizer) of a folder, in float32 and evaluation mode; CorruptResult where weights do not fit."""
    from transformers import AutoModelForCausalLM

    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype="float32", local_files_only=True, trust_remote_code=False, use_safetensors=True
        )
    except (RuntimeError, OSError, ValueError) as e:
        raise CorruptResult(f"{folder}: cannot load this model: {e}") from e
    return model.eval(), load_tokenizer(folder)
