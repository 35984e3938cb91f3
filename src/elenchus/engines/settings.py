"""Which engine samples, and how: the knobs behind the section `engine` of params.yaml, each with its one default.

What can change a token is part of a stage's parameters, so of its digest (`Vllm`, `Served`). What depends on the machine
only is handed to jobs beside their parameters and is in no digest and no manifest (`Machine`, `Server`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, field_validator, model_serializer

from elenchus.stages import StageParams


class Frozen(BaseModel):
    """Base of these sections: typed, immutable, unknown names refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Numerics(Frozen):
    """What changes how vLLM rounds, or where it cuts off."""

    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="vllm: numbers of weights and sums; float32 is nearest to transformers"
    )
    tensor_parallel: int = Field(1, ge=1, description="vllm: GPUs (or processes) over which each matrix is split")
    context: int = Field(0, ge=0, description="vllm: tokens of prompt and completion at most; 0: the model's context")


class Machine(Frozen):
    """What vLLM needs to know of the machine. Changes no token."""

    python: str = Field(
        ".venv-vllm/bin/python", min_length=1, description="vllm: the Python of its environment (make vllm)"
    )
    memory_share: float = Field(
        0.9, gt=0, lt=1, description="vllm: share of a GPU's memory to take where cache_gb is 0 (cluster)"
    )
    cache_gb: float = Field(1.0, ge=0, description="vllm: GiB of keys and values; 0: what memory_share leaves")


class Vllm(Numerics):
    """A stage samples with vLLM."""

    kind: Literal["vllm"] = "vllm"


class Choice(Numerics, Machine):
    """The section `engine` of params.yaml, less its budget."""

    kind: Literal["transformers", "vllm"] = Field(
        "transformers", description="what samples: transformers (laptop), or vllm (GPUs; docs/engines.md)"
    )

    def of_stage(self) -> dict | None:
        """Return the parameter `engine` of a stage that samples; None for transformers, whose stages do not have it."""
        if self.kind == "transformers":
            return None
        return {"kind": self.kind, **{name: getattr(self, name) for name in Numerics.model_fields}}

    def of_machine(self) -> dict:
        """Return what jobs are told beside their parameters."""
        return {name: getattr(self, name) for name in Machine.model_fields}


class Served(Frozen):
    """A stage asks a model behind an OpenAI-compatible server. The model's name stands for its weights."""

    kind: Literal["openai"] = "openai"
    model: str = Field(min_length=1, description="the model's name on the server")
    api: Literal["chat", "completions"] = Field(
        "chat", description="chat: the server renders the conversation; completions: we do (tokenizer needed)"
    )
    tokenizer: str = Field("", description="completions: folder of the tokenizer whose chat template renders prompts")
    request: str = Field(
        "Check the solution above. Answer in one line of this form and nothing else. For each step, in order: "
        "`#<number> <its operation> -> <the right result> <the result it claims>`, then `good`, or `bad` and the kind of its "
        "error. At the end `right` or `wrong` for the whole. For example: "
        "#1 8 - 7 -> 1 1 good #2 1 * 9 -> 9 7 bad result wrong",
        description="chat: what a critic is asked, in words, after the solution",
    )


class Server(Frozen):
    """The section `server` of params.yaml: where an OpenAI-compatible server is, and what it may cost. In no digest."""

    url: str = Field("http://127.0.0.1:8000/v1", description="its address; elsewhere than here: https, and your risk")
    key: str = Field(
        "ELENCHUS_SERVER_KEY",
        description="name of the environment variable that holds the key; the key goes nowhere else",
    )
    parallel: int = Field(16, ge=1, description="requests in flight")
    per_minute: int = Field(0, ge=0, description="requests begun in any minute at most; 0: no limit but the server's")
    retries: int = Field(6, ge=0, description="tries again of a request that failed for now, ever more slowly")
    timeout: float = Field(600.0, gt=0, description="seconds for one answer")
    prompt_price: float = Field(0.0, ge=0, description="price of a million tokens read")
    sampled_price: float = Field(0.0, ge=0, description="price of a million tokens written")
    cost_cap: float = Field(
        0.0, ge=0, description="what one stage may spend, in the prices' currency; needed where a price is set"
    )

    @field_validator("url")
    @classmethod
    def _whole(cls, given: str) -> str:
        if not given.startswith(("http://", "https://")):
            raise ValueError(
                "it must begin with http:// or https://, and end as the server's documentation says, in /v1"
            )
        return given.rstrip("/")


class Sampler(StageParams):
    """Base of the parameters of kinds that sample: which engine does it."""

    engine: Vllm | None = Field(None, description="vLLM in place of the transformers engine")

    @model_serializer(mode="wrap")
    def _as_before(self, handler: SerializerFunctionWrapHandler) -> dict:
        """Leave `engine` out where it is transformers: random streams derive from the parameters, and stay as they are."""
        return {k: v for k, v in handler(self).items() if k != "engine" or v is not None}


AnyEngine = Annotated[Vllm | Served, Field(discriminator="kind")]
