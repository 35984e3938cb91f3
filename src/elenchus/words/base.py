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

    def _engine(self, params: dict, samples: bool = True) -> dict:
        """Return the parameters of a kind that samples: params.yaml's engine and batch, and `params` over them.

        samples: whether this stage does; one that does not is the same with every engine, and bears no engine's name.
        """
        chosen = self.config.engine.of_stage() if samples else None
        return {"batch_size": self.config.engine.batch_size, **({"engine": chosen} if chosen else {}), **params}

    def _sampling(self, params: dict, samples: bool = True) -> dict:
        return self._engine({"max_tokens": self.config.engine.max_tokens, **params}, samples)
