"""Sampling and scoring with transformers models: continuous batching over a static cache, without `model.generate`.

What costs time at small scale is memory traffic and Python, so the loop copies no keys and values as it goes (a dynamic
cache copies all of them for every token), attends to filled columns only, gives the model a ready mask and positions,
fills the places of finished rows at once, and reads a prompt once for all its samples. Where `prefix_tokens` allows, it
also keeps what it has read and written, so that a search or a multi-turn loop goes on from there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from elenchus import models
from elenchus.engines import Completion, Sampling, Scored
from elenchus.engines.batch import Batch, groups, hide
from elenchus.engines.draws import row_seeds
from elenchus.engines.slots import Prefixes, Recorder, SlotCache


class TransformersEngine:
    """The sampling protocol (`elenchus.engines.Engine`) on a transformers causal LM.

    source: a model folder (loaded to the GPU where there is one), or (model, tokenizer), used where it is.
    batch_size: rows in flight. Memory is bounded by batch_size times the longest prompt and completion, plus
    `prefix_tokens` tokens of prefixes kept between calls (0: none; call `forget` after a change of the weights).
    Counters: `sampled_tokens` (end tokens included), `prompt_tokens` (each prompt once a call, and what `score` reads),
    `prefill_tokens` (what was really read; the rest came from kept prefixes).
    """

    def __init__(self, source: Path | str | tuple, batch_size: int = 256, prefix_tokens: int = 0):
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; it must be at least 1")
        self.model, self.tokenizer = source if isinstance(source, tuple) else models.load(Path(source))
        if not isinstance(source, tuple) and torch.cuda.is_available():
            self.model.to("cuda")
        self.config = self.model.config.get_text_config()
        kinds = set(getattr(self.config, "layer_types", None) or ["full_attention"])
        if kinds != {"full_attention"}:
            raise ValueError(f"the transformers engine knows full attention only, this model has {sorted(kinds)}")
        self.batch_size = batch_size
        self.prefixes = Prefixes(prefix_tokens)
        self.slots: SlotCache | None = None
        self.ends = _end_tokens(self.model, self.tokenizer)
        self.sampled_tokens = self.prompt_tokens = self.prefill_tokens = 0

    def forget(self) -> None:
        """Drop kept prefixes; needed after the model's weights have changed."""
        self.prefixes.clear()

    def sample(self, prompts: list[str], sampling: Sampling, seed: int, n: int = 1) -> list[list[Completion]]:
        """Return n completions for each prompt, deterministic as the protocol says."""
        if not prompts or n < 1:
            return [[] for _ in prompts]
        encoded = self._encode(prompts)
        room = self.config.max_position_embeddings - max(map(len, encoded))
        if room < 1:
            raise ValueError(
                f"a prompt has {max(map(len, encoded))} tokens, which leaves no room in the model's context of "
                f"{self.config.max_position_embeddings}"
            )
        self.prompt_tokens += sum(map(len, encoded))
        # Longest first: neighbours then have like lengths, and a batch too big for the memory fails at once.
        order = sorted(range(len(prompts)), key=lambda i: -len(encoded[i]))
        queue = deque((i, j) for i in order for j in range(n))
        drawn: dict[tuple[int, int], tuple[tuple[int, ...], tuple[float, ...], str]] = {}
        with self._inference():
            batch = Batch(self, encoded, row_seeds(prompts, n, seed), sampling, min(self.batch_size, len(queue)))
            while queue or batch.live:
                # Reading a few prompts costs a pass of its own: wait until an eighth of the rows is free.
                if queue and (batch.free * 8 >= batch.size or not batch.live):
                    batch.admit([queue.popleft() for _ in range(min(batch.free, len(queue)))])
                elif not queue:
                    batch.compact()
                drawn.update(batch.step())
        keys = [(i, j) for i in range(len(prompts)) for j in range(n)]
        # straight to the Rust tokenizer: transformers' own way there looks at every token in Python
        backend = self.tokenizer.backend_tokenizer
        texts = backend.decode_batch([list(drawn[key][0]) for key in keys], skip_special_tokens=False)
        flat = iter(Completion(tokens, text, *rest) for text, (tokens, *rest) in zip(texts, map(drawn.get, keys)))
        return [[next(flat) for _ in range(n)] for _ in prompts]

    def score(self, prompts: list[str], completions: list[str], end: bool = True) -> list[Scored]:
        """Return each completion's token log-probabilities given its prompt (temperature 1)."""
        if len(prompts) != len(completions):
            raise ValueError(f"{len(prompts)} prompts but {len(completions)} completions")
        if not prompts:
            return []
        tail = [self.tokenizer.eos_token_id] if end else []
        before, after = self._encode(prompts), [[*ids, *tail] for ids in self._encode(completions, empty=True)]
        sequences = [(*p, *c) for p, c in zip(before, after)]
        self.prompt_tokens += sum(map(len, sequences))
        scored: list[Scored | None] = [None] * len(prompts)
        with self._inference():
            for group in groups([len(s) for s in sequences], self.batch_size):
                keep = max(len(after[i]) for i in group) + 1
                logits_BTV = self.read([sequences[i] for i in group], keep=keep).float()
                for i, logits_TV in zip(group, logits_BTV):
                    k = len(after[i])
                    targets = torch.tensor(after[i], device=logits_TV.device, dtype=torch.long)
                    # The logits at one place are those of the next token, so the last place is left out.
                    logprobs_TV = logits_TV[len(logits_TV) - 1 - k : -1].log_softmax(-1)
                    scored[i] = Scored(tuple(after[i]), tuple(logprobs_TV.gather(1, targets[:, None])[:, 0].tolist()))
        return scored

    # -- inside --------------------------------------------------------------------------------------------------------

    @contextmanager
    def _inference(self) -> Iterator[None]:
        """Run without gradients, in evaluation mode, with the attention that is fastest for single queries."""
        config, training = self.config, self.model.training
        attention = config._attn_implementation
        if self.model.device.type == "cpu" and attention == "sdpa":
            config._attn_implementation = "eager"  # on CPU, SDPA takes twice as long for one query per row
        self.model.eval()
        try:
            with torch.inference_mode():
                yield
        finally:
            config._attn_implementation = attention
            self.model.train(training)

    def _encode(self, texts: list[str], empty: bool = False) -> list[tuple[int, ...]]:
        ids = self.tokenizer(texts, add_special_tokens=False, return_attention_mask=False)["input_ids"]
        if not empty and not all(ids):
            raise ValueError("a prompt has no tokens")
        return [tuple(row) for row in ids]

    def cache(self, rows: int, columns: int) -> SlotCache:
        """Return a cache of at least this size: the last call's where that suffices, since fresh memory is slow."""
        if self.slots is None or self.slots.size < rows or self.slots.columns < columns:
            columns = -(-columns // 64) * 64  # whole 64s, so that slowly growing prompts seldom need a new one
            size = (max(rows, self.slots.size), max(columns, self.slots.columns)) if self.slots else (rows, columns)
            self.slots = None  # its memory goes before the new one's comes
            self.slots = SlotCache(self.config, *size, self.model.dtype, self.model.device)
        return self.slots

    def read(self, sequences: list[tuple[int, ...]], keep: int, recorder: Recorder | None = None) -> torch.Tensor:
        """Return the last `keep` logits of sequences padded on the left; the recorder gets their keys and values."""
        width, device = max(map(len, sequences)), self.model.device
        ids_BT = torch.zeros(len(sequences), width, dtype=torch.long)
        for row, sequence in zip(ids_BT, sequences):
            row[width - len(sequence) :] = torch.tensor(sequence, dtype=torch.long)
        pad_B1 = torch.tensor([[width - len(s)] for s in sequences])
        place_T = torch.arange(width)
        hidden_BTT = (place_T[None, None, :] > place_T[None, :, None]) | (place_T[None, None, :] < pad_B1[:, :, None])
        mask_B1TT = hide(hidden_BTT, self.model.dtype)[:, None]
        self.prefill_tokens += sum(map(len, sequences))
        return self.model(
            input_ids=ids_BT.to(device),
            attention_mask=mask_B1TT.to(device),
            position_ids=(place_T[None] - pad_B1).clamp(min=0).to(device),
            past_key_values=recorder,
            use_cache=recorder is not None,
            logits_to_keep=keep,
        ).logits


def _end_tokens(model, tokenizer) -> np.ndarray:
    """Return the ids that end a reply: the tokenizer's and the generation config's."""
    configured = getattr(model.generation_config, "eos_token_id", None)
    ids = {tokenizer.eos_token_id, *(configured if isinstance(configured, list) else [configured])} - {None}
    if not ids:
        raise ValueError("neither the tokenizer nor the generation config names an end token")
    return np.array(sorted(ids), dtype=np.int64)
