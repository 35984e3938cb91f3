"""Keys and values of many sequences at once: a static cache, read only where it is filled, and a pool of prefixes.

All rows write the same column in a forward pass, wherever they began, so one pass extends sequences of any length: a
row that begins later merely begins further right, and the mask hides what is left of it. Free rows take new sequences
while the others go on (continuous batching), and attention reads no column before the oldest live row's first.
"""

from __future__ import annotations

import numpy as np
import torch
from transformers.cache_utils import Cache


class SlotCache(Cache):
    """The static cache. `kv` has shape (layer, key or value, row, head, column, dim); `column` is the next to write.

    Rows and heads stand together, so that a layer's slice is one batch of matrices and matmul need not copy it.
    """

    def __init__(self, config, rows: int, columns: int, dtype: torch.dtype, device: torch.device):
        super().__init__(layers=[])
        self.size, self.columns = rows, columns
        heads = config.num_key_value_heads
        dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        # zeros, not empty: hidden columns are multiplied by a weight of 0, which a stray NaN would survive
        self.kv = torch.zeros(config.num_hidden_layers, 2, rows, heads, columns, dim, dtype=dtype, device=device)
        self.column = 0
        self.rows, self.low = 0, 0  # what the next forward pass covers: rows [0, rows), columns [low, column]

    def update(self, key_BHTD, value_BHTD, layer_idx: int, *args, **kwargs):
        """Write one column of a layer and return the filled part of its keys and values."""
        filled = self.kv[layer_idx, :, : self.rows, :, self.low : self.column + 1]
        filled[0, :, :, -1:] = key_BHTD
        filled[1, :, :, -1:] = value_BHTD
        return filled[0], filled[1]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Return the columns that are filled."""
        return self.column - self.low

    def place(self, row: int, kv_L2HTD: torch.Tensor) -> None:
        """Put a prefix into `row` so that it ends where the next column begins."""
        self.kv[:, :, row, :, self.column - kv_L2HTD.shape[3] : self.column] = kv_L2HTD

    def view(self, row: int, start: int) -> torch.Tensor:
        """Return columns from `start` of `row`, token first: shape (token, layer, 2, head, dim)."""
        return self.kv[:, :, row, :, start : self.column].permute(3, 0, 1, 2, 4)

    def shift(self, by: int) -> None:
        """Move all columns left by `by`; those before are forgotten."""
        kept = self.column - by
        for layer in self.kv:  # layer by layer, so that the copy stays small
            layer[..., :kept, :] = layer[..., by : self.column, :].clone()
        self.column = kept


class Recorder(Cache):
    """Keeps the keys and values of one forward pass over whole prompts."""

    def __init__(self):
        super().__init__(layers=[])
        self.kept: list[torch.Tensor] = []

    def update(self, key_BHTD, value_BHTD, layer_idx: int, *args, **kwargs):
        """Keep what a layer computed and hand it back."""
        self.kept.append(torch.stack((key_BHTD, value_BHTD), 1))
        return key_BHTD, value_BHTD

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Return 0: nothing came before."""
        return 0

    def all(self) -> torch.Tensor:
        """Return shape (row, layer, 2, head, token, dim)."""
        return torch.stack(self.kept, 1)


class Prefixes:
    """A pool of the keys and values of sequences already read, found again by their tokens.

    A sequence shares the slots of the sequence that it continues, so a tree costs memory per token of the tree, not per
    path. When the pool is full it is emptied: what is still wanted is then read anew. Bound: `capacity` tokens.
    """

    def __init__(self, capacity: int):
        self.capacity = capacity
        self.pool: torch.Tensor | None = None  # shape (capacity, layer, 2, head, dim), made when first needed
        self.clear()

    def clear(self) -> None:
        """Forget everything (the model's weights have changed, or the pool is full)."""
        self.used = 0
        self.known: dict[tuple[int, ...], np.ndarray] = {}

    def find(self, tokens: tuple[int, ...]) -> np.ndarray | None:
        """Return the slots of exactly these tokens, None where they are not all known."""
        return self.known.get(tokens)

    def get(self, slots: np.ndarray) -> torch.Tensor:
        """Return a prefix as `SlotCache.place` takes it: shape (layer, 2, head, token, dim)."""
        return self.pool[torch.from_numpy(slots).to(self.pool.device)].permute(1, 2, 3, 0, 4)

    def add(self, prompt: tuple[int, ...], tokens: tuple[int, ...], cache: SlotCache, row: int, start: int) -> None:
        """Remember `tokens`, which begin with `prompt` and stand in `row` of the cache from column `start` on."""
        if tokens in self.known or len(tokens) > self.capacity:
            return
        if self.used + len(tokens) > self.capacity:
            self.clear()
        base = self.known.get(prompt, np.empty(0, dtype=np.int64))
        new = cache.view(row, start + len(base))
        if self.pool is None:
            self.pool = torch.empty(self.capacity, *new.shape[1:], dtype=new.dtype, device=new.device)
        end = self.used + len(new)
        self.pool[self.used : end] = new
        slots = np.concatenate((base, np.arange(self.used, end)))
        self.used = end
        self.known[prompt], self.known[tokens] = slots[: len(prompt)], slots
