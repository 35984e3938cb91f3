"""What all words of recipes rest on: the configuration, and `stage`, which files what is described."""

from __future__ import annotations

from collections.abc import Sequence

from elenchus.config import Base
from elenchus.errors import UserError
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

    def _train(self, kind: str, name: str, params: dict, **inputs: Stage | Sequence[Stage] | None) -> Stage:
        """Return a trainer stage: params.yaml's section `training`, and `params` over it.

        UserError where the processes do not divide the batch, or where the optimizer of a round before is to go on in
        adapters that did not exist then.
        """
        chosen = self.config.training
        made = self.stage(kind, name, {**chosen.of_stage(kind), **params}, **inputs)
        chosen.of_model(made.pretrained).check_batch(f"stage {name!r} ({kind})", made.params)
        if made.params.get("lora") and inputs.get("previous") is not None:
            raise UserError(
                f"stage {name!r} ({kind}): `lora` cannot go with rounds that hand their optimizer on (`previous`): each merges its "
                "adapters into the weights. For these rounds, in the recipe's section of params.yaml:\n  sft: {lora: null}"
            )
        return made
