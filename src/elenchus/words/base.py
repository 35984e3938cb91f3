"""What all words of recipes rest on: the configuration, and `stage`, which files what is described."""

from __future__ import annotations

from collections.abc import Sequence

from elenchus.config import Base
from elenchus.graph import Stage


class Words:
    """Base of the words; `lab.Lab` fills it in."""

    config: Base
    seed: int

    def stage(
        self, kind: str, name: str | None = None, params: dict | None = None, **inputs: Stage | Sequence[Stage] | None
    ) -> Stage:
        """Return a stage of `kind`, filed under `name` (default: the kind)."""
        raise NotImplementedError

    def _sampling(self, params: dict) -> dict:
        e = self.config.engine
        return {"batch_size": e.batch_size, "max_tokens": e.max_tokens, **params}
