"""Shapes of the pretrained models that recipes name: what a model weighs, before it is on this machine."""

from __future__ import annotations

from dataclasses import dataclass

from elenchus.errors import UserError


@dataclass(frozen=True)
class Shape:
    """A decoder of the Llama family (gated feed-forward, grouped-query attention, RMS norms)."""

    width: int
    layers: int
    heads: int
    kv_heads: int
    feed_forward: int
    vocabulary: int
    tied: bool = False  # input and output embeddings are one
    biases: bool = False  # of queries, keys and values (Qwen2)

    @property
    def parameters(self) -> int:
        """Return the number of parameters, all embeddings included."""
        head = self.width // self.heads
        attention = 2 * self.width * self.width + 2 * self.width * self.kv_heads * head
        biases = self.width + 2 * self.kv_heads * head if self.biases else 0
        layer = attention + biases + 3 * self.width * self.feed_forward + 2 * self.width
        embeddings = self.vocabulary * self.width * (1 if self.tied else 2)
        return self.layers * layer + embeddings + self.width

    @property
    def kv_numbers(self) -> int:
        """Return the numbers that the cache of keys and values holds for each token."""
        return 2 * self.layers * self.kv_heads * (self.width // self.heads)


# From each model's config.json on the hub.
SHAPES: dict[str, Shape] = {
    "mistralai/Mistral-7B-v0.1": Shape(4096, 32, 32, 8, 14336, 32000),
    "meta-llama/Meta-Llama-3-8B-Instruct": Shape(4096, 32, 32, 8, 14336, 128256),
    "meta-llama/Llama-3.1-8B-Instruct": Shape(4096, 32, 32, 8, 14336, 128256),
    "Qwen/Qwen2.5-0.5B": Shape(896, 24, 14, 2, 4864, 151936, tied=True, biases=True),
    "Qwen/Qwen2.5-3B": Shape(2048, 36, 16, 2, 11008, 151936, tied=True, biases=True),
    "Qwen/Qwen2.5-7B-Instruct": Shape(3584, 28, 28, 4, 18944, 152064, biases=True),
    "Qwen/Qwen2.5-14B-Instruct": Shape(5120, 48, 40, 8, 13824, 152064, biases=True),
}


def shape(name: str) -> Shape:
    """Return the shape of a model by its hub id; UserError where it is not in the table."""
    if name not in SHAPES:
        raise UserError(
            f"base_model.name: nothing is known of the shape of {name!r}, so that it cannot be planned; known: {', '.join(SHAPES)}.\n"
            "Add a line to SHAPES in src/elenchus/architectures.py, from the model's config.json"
        )
    return SHAPES[name]
