"""params.yaml: one schema, one loader. Every section is a typed model; unknown keys are refused with the nearest one.

Sections that all recipes share stand here; a recipe's own section is the `Params` model of its file in
`workflow/recipes/`. `json_schema` writes the same schema for editors.
"""

from __future__ import annotations

import os
from copy import copy
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from elenchus import stages
from elenchus.benchmarks.settings import Bench
from elenchus.engines.settings import Choice, Server
from elenchus.errors import UserError
from elenchus.graph import explain
from elenchus.training import scale as training_scale


class Section(BaseModel):
    """Base of all sections: typed, immutable, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Knobs(Section):
    """A part of a stage kind's parameters, as params.yaml gives them; `**knobs` passes on just those that it sets."""

    defaults: ClassVar[dict[str, Any]] = {}  # the kind's own

    def keys(self) -> list[str]:
        """Return the names that were set."""
        return sorted(self.model_fields_set)

    def __getitem__(self, key: str) -> Any:
        return self.model_dump(mode="json")[key]

    def set_or_default(self, key: str) -> Any:
        """Return what was set, or else the stage kind's own default."""
        return self[key] if key in self.model_fields_set else self.defaults[key]


@cache
def knobs(kind: str) -> type[Knobs]:
    """Return the model of all parameters of stage kind `kind`, each optional: types, ranges and texts are the kind's."""
    fields = {}
    for name, field in stages.load(kind).Params.model_fields.items():
        loose = copy(field)
        loose.default, loose.default_factory = None, None
        fields[name] = (field.annotation | None, loose)
    made = create_model(f"{kind}_knobs", __base__=Knobs, __doc__=f"Parameters of the stage kind {kind}.", **fields)
    made.defaults = {
        name: None if f.is_required() else f.get_default(call_default_factory=True)
        for name, f in stages.load(kind).Params.model_fields.items()
    }
    return made


class Problems(Section):
    """Which problems, and how many of each split."""

    family: str = Field("chain", description="problem family: a module of src/elenchus/problems (docs/families.md)")
    options: dict[str, Any] = Field(
        default_factory=dict, description="the family's difficulty knobs; its Options model lists them"
    )
    train: int = Field(400, ge=1, description="training problems")
    validation: int = Field(150, ge=1, description="validation problems: every choice is made on these")
    test: int = Field(200, ge=1, description="test problems: only measured on")
    seed: int = Field(
        0, ge=0, description="which draw of the problem sets; the same for all seeds, so that arms pair up"
    )


class OwnProblems(Section):
    """What a recipe says otherwise than the section `problems`; None keeps what that says."""

    family: str | None = Field(None, description="problem family of this recipe")
    options: dict[str, Any] | None = Field(
        None, description="the family's difficulty knobs; of the same family, laid over the shared ones"
    )
    train: int | None = Field(None, ge=1, description="training problems")
    validation: int | None = Field(None, ge=1, description="validation problems")
    test: int | None = Field(None, ge=1, description="test problems")

    def over(self, shared: Problems) -> Problems:
        """Return `shared` with what is said here laid over it; options of another family are not inherited."""
        said = self.model_dump(exclude_none=True)
        if said.get("family", shared.family) == shared.family:
            said["options"] = merge(shared.options, said.get("options", {}))
        else:
            said.setdefault("options", {})
        return Problems.model_validate({**shared.model_dump(), **said})


# How pretrained models of billions of parameters are fine-tuned, mostly.
LESSONS = {"epochs": 2, "batch": 32, "learning_rate": 1e-5, "precision": "bfloat16", "activation_checkpointing": True}


class Pretrained(Section):
    """Which pretrained model everything starts from; no name: the seed model that the workflow trains itself."""

    name: str = Field("", description="hub id in the local cache, or a folder; empty: the seed model")
    revision: str = Field("main", description="commit, tag or branch on the hub")
    lessons: int = Field(
        2000,
        ge=0,
        description="problems, drawn apart from all others, on whose exact solutions and critiques it is trained first, so that "
        "it knows their forms; 0: it knows them",
    )
    sft: knobs("sft") = Field(default_factory=lambda: knobs("sft")(**LESSONS), description="this training")


class RecipeParams(Section):
    """Base of every recipe's section: what it may say otherwise than the shared sections, beside its own knobs."""

    problems: OwnProblems = Field(default_factory=OwnProblems, description="laid over the section `problems`")
    seed_model: knobs("seed_model") = Field(
        default_factory=knobs("seed_model"), description="laid over the section `seed_model`"
    )

    base_model: Pretrained | None = Field(None, description="in place of the section `base_model`")

    def shared(self, base: Base) -> Base:
        """Return the shared sections as this recipe sees them."""
        model = {**base.seed_model, **self.seed_model}
        own = {"problems": self.problems.over(base.problems), "seed_model": knobs("seed_model")(**model)}
        own["base_model"] = self.base_model or base.base_model
        return base.model_copy(update=own)


class Evidence(Section):
    """How a recipe's claims are tested (`snakemake evidence`)."""

    seeds: list[int] = Field([0, 1, 2], min_length=1, description="the seed axis of evidence: three or more")


class Sampling(Choice, Section):
    """Which engine samples, and how engines run."""

    batch_size: int = Field(256, ge=1, description="sequences in flight; bounds memory")
    max_tokens: int = Field(64, ge=1, description="tokens of a solution or critique at most")


class Training(training_scale.Choice, Section):
    """How trainers run: processes, memory, low-rank adapters."""


class Base(Section):
    """The sections that all recipes share."""

    scale: Literal["laptop", "cluster"] = Field(
        "laptop", description="cluster lays the section `cluster` over the others"
    )
    recipes: list[str] = Field(["elenchus"], description="recipes that plain `snakemake` runs")
    seeds: list[int] = Field([0], min_length=1, description="the seed axis; a claim's verdict needs three or more")
    evidence: Evidence = Field(default_factory=Evidence, description="how claims are tested")
    problems: Problems = Field(default_factory=Problems, description="problem sets")
    seed_model: knobs("seed_model") = Field(
        default_factory=knobs("seed_model"), description="the seed model's training"
    )
    base_model: Pretrained = Field(
        default_factory=Pretrained, description="a pretrained model in the seed model's place"
    )
    engine: Sampling = Field(default_factory=Sampling, description="sampling engines")
    shards: int = Field(
        1, ge=1, description="jobs that share a stage of sampling, search, critique or refinement; changes no byte"
    )
    server: Server = Field(default_factory=Server, description="an OpenAI-compatible server, for teachers and judges")
    training: Training = Field(default_factory=Training, description="how trainers run")
    bench: Bench = Field(default_factory=Bench, description="models on benchmarks (`snakemake bench`)")
    cluster: dict[str, Any] = Field(
        default_factory=dict, description="values laid over the other sections where scale is cluster"
    )

    def machine(self, model: str = "") -> dict:
        """Return what jobs are told beside their parameters: it changes no result. model: which they go back to, by hub id."""
        given = self.bench.generations
        files = {"generations": list(given.values()) if isinstance(given, dict) else [given]} if given else {}
        return {
            "scale": self.scale,
            "engine": self.engine.of_machine(),
            "server": self.server.model_dump(mode="json"),
            "training": self.training.of_model(model).model_dump(),
            **files,
        }


def project_root(start: Path | None = None) -> Path:
    """Return the nearest folder at or above `start` (default: here) that holds params.yaml and workflow/."""
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "params.yaml").is_file() and (folder / "workflow").is_dir():
            return folder
    raise UserError(f"{here}: not inside an Elenchus project (no params.yaml beside a workflow/ folder here or above)")


class Loader(yaml.SafeLoader):
    """YAML 1.2's scalars, as DVC reads them: 1e-6 is a number; on, no, yes are words; 010 is ten; 12:30 a word.

    A key that stands twice in one mapping is refused: of two values one would be ignored without a word.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        """Return the mapping; an error with line and column where a key stands in it twice."""
        seen: set = set()
        for key, _ in node.value:
            if key.value in seen and key.value != "<<":
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} stands here twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _yaml_1_2() -> None:
    import re

    Loader.yaml_implicit_resolvers = {}
    for tag, pattern, first in (
        ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
        ("int", r"^[-+]?[0-9]+$", "-+0123456789"),
        ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", "-+.0123456789"),
        ("null", r"^(?:~|null|Null|NULL|)$", "~nN\0"),
    ):
        Loader.add_implicit_resolver(
            f"tag:yaml.org,2002:{tag}", re.compile(pattern), [*first, ""] if tag == "null" else list(first)
        )
    Loader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(loader.construct_scalar(node)))


_yaml_1_2()


def read_yaml(path: Path) -> dict:
    """Return the parsed params file; UserError with line and column where it is not YAML or not a mapping."""
    try:
        data = yaml.load(path.read_text(), Loader=Loader)
    except FileNotFoundError:
        raise UserError(
            f"{path}: there is no such file; it holds every knob of the workflow (git checkout {path.name})"
        ) from None
    except yaml.YAMLError as e:
        raise UserError(f"{path}: not valid YAML: {e}") from None
    if not isinstance(data, dict):
        raise UserError(f"{path}: found {type(data).__name__}, expected sections (`problems:`, `elenchus:`, ...)")
    return data


def merge(under: dict, over: dict) -> dict:
    """Return `under` with `over` laid on it, mapping by mapping."""
    merged = dict(under)
    for key, value in over.items():
        merged[key] = (
            merge(merged[key], value) if isinstance(value, dict) and isinstance(merged.get(key), dict) else value
        )
    return merged


def schema_model(recipe_params: dict[str, type[BaseModel]]) -> type[Base]:
    """Return the model of the whole file: the shared sections and one per recipe."""
    sections: dict[str, Any] = {
        name: (model, Field(default_factory=model, description=(model.__doc__ or "").split("\n")[0]))
        for name, model in recipe_params.items()
    }
    return create_model("Config", __base__=Base, **sections)


def load(path: Path, recipe_params: dict[str, type[BaseModel]], overrides: dict | None = None) -> Base:
    """Return the validated configuration of `path`, `overrides` (Snakemake's --config) laid over it.

    Raises UserError that names file and key, what was found and what is allowed.
    """
    data = merge(read_yaml(path), overrides or {})
    model = schema_model(recipe_params)
    try:
        if data.get("scale") == "cluster":
            data = merge(data, data.get("cluster") or {})
        return model.model_validate(data)
    except ValidationError as e:
        raise UserError(f"{path.name}: {explain(e, model)}") from None


def json_schema(recipe_params: dict[str, type[BaseModel]]) -> dict:
    """Return the JSON schema of params.yaml, for editors."""
    schema = schema_model(recipe_params).model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "params.yaml of Elenchus"}


def spread(overrides: dict) -> dict:
    """Return Snakemake's --config with `bench`'s keys, such as model=..., in their section: they may stand at the top.

    Inside of mappings and lists Snakemake reads every value as a text. The schema reads numbers and truth values out of texts;
    null alone has to be said here.
    """
    overrides = _nulls(overrides)
    own = {k: v for k, v in overrides.items() if k in Bench.model_fields and k not in Base.model_fields}
    rest = {k: v for k, v in overrides.items() if k not in own}
    return merge(rest, {"bench": own}) if own else rest


def _nulls(given: Any) -> Any:
    """Return plain data with None in place of the texts that YAML reads as null."""
    if isinstance(given, dict):
        return {key: _nulls(value) for key, value in given.items()}
    if isinstance(given, list):
        return [_nulls(value) for value in given]
    return None if given in ("null", "~") else given


def environment_overrides() -> dict:
    """Return the overrides of ELENCHUS_PARAMS, a YAML file laid over params.yaml (how tests shrink the main job)."""
    path = os.environ.get("ELENCHUS_PARAMS")
    return read_yaml(Path(path)) if path else {}
