"""The stage graph: stages as values, addressed by what they are. Pure: no files, no Snakemake.

A stage's digest covers its kind, the parameters that it reads, the digests of its inputs, its seed and the code that it
runs. The digest names the stage's folder, `results/<kind>/<digest>/`, so that a result is never stale and two recipes
that share a prefix share its results without saying so.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from pydantic import ValidationError

from elenchus import schemas, seeds, stages
from elenchus.code_digest import code_digest, definition_digests, path_of
from elenchus.errors import UserError, did_you_mean

RESULTS = Path("results")


def canonical(value: object) -> str:
    """Return the canonical JSON of plain data: sorted keys, no spaces, shortest floats, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_of(value: object) -> str:
    """Return the first 16 hex digits of the SHA-256 of `value`'s canonical JSON."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class Stage:
    """One unit of work. Made by `make`, which validates; equal when their digests are."""

    kind: str
    params: dict  # complete: defaults filled in
    inputs: dict[str, Stage | tuple[Stage, ...]]
    seed: int | None  # the seed axis; None where the kind is not seeded

    @cached_property
    def families(self) -> tuple[str, ...]:
        """Return the problem families that reach this stage: their verifiers are part of its code."""
        own = {self.params["family"]} if "family" in self.params else set()
        return tuple(sorted(own.union(*(s.families for s in self.parents))))

    @cached_property
    def pretrained(self) -> str:
        """Return the name of the pretrained model that this stage goes back to, "" where it is none."""
        return (
            self.params["name"]
            if self.kind == "pretrained"
            else next(filter(None, (s.pretrained for s in self.parents)), "")
        )

    @cached_property
    def parents(self) -> tuple[Stage, ...]:
        """Return the input stages, in the order of input names."""
        found: list[Stage] = []
        for _, given in sorted(self.inputs.items()):
            found.extend(given if isinstance(given, tuple) else (given,))
        return tuple(found)

    @cached_property
    def code(self) -> str:
        """Return the digest of the code that this stage runs: the kind's, its families' and engine's, its tables' schemas."""
        return kind_code(self.kind, self.families, engine_of(self.params))

    def _spec(self, attribute: str) -> dict:
        def one(given: Stage | tuple[Stage, ...]) -> str | list[str]:
            return [getattr(s, attribute) for s in given] if isinstance(given, tuple) else getattr(given, attribute)

        return {
            "kind": self.kind,
            "params": self.params,
            "inputs": {k: one(v) for k, v in self.inputs.items()},
            "seed": self.seed,
        }

    @cached_property
    def identity(self) -> str:
        """Return the digest without code: what random streams derive from, so that a refactoring keeps its numbers."""
        return digest_of(self._spec("identity"))

    @cached_property
    def digest(self) -> str:
        """Return the digest that names the result."""
        return digest_of({**self._spec("digest"), "code": self.code})

    @property
    def folder(self) -> Path:
        """Return `results/<kind>/<digest>`."""
        return RESULTS / self.kind / self.digest

    @property
    def manifest(self) -> Path:
        """Return the path of stage.json, whose existence means that the result is complete."""
        return self.folder / "stage.json"

    def definitions(self) -> dict[str, str]:
        """Return {definition: digest} of all code behind `code`: what names a change of code."""
        return kind_definitions(self.kind, self.families, engine_of(self.params))

    @property
    def rng_seed(self) -> int:
        """Return the seed of the stage's random streams."""
        return seeds.derive("stage", self.identity)

    def spec(self) -> dict:
        """Return the stage as plain data: all that a job needs to run it."""

        def folders(given: Stage | tuple[Stage, ...]) -> str | list[str]:
            return [str(s.folder) for s in given] if isinstance(given, tuple) else str(given.folder)

        return {
            "kind": self.kind,
            "digest": self.digest,
            "identity": self.identity,
            "code": self.code,
            "families": list(self.families),
            "params": self.params,
            "inputs": {name: folders(given) for name, given in self.inputs.items()},
            "seed": self.seed,
            "rng_seed": self.rng_seed,
        }


def engine_of(params: dict) -> str:
    """Return the kind of engine that a stage's parameters ask for, "" for transformers or none."""
    return (params.get("engine") or {}).get("kind", "")


def chosen_modules(families: tuple[str, ...], engine: str) -> list[str]:
    """Return the modules that a stage imports by name: code of its own that names in its kind's code do not lead to."""
    own = [module_of(family) for family in families]
    return [*own, f"elenchus.engines.{engine}_engine"] if engine else own


def module_of(family: str) -> str:
    """Return the module whose checker judges a family's answers: a problem family's, or a published benchmark's."""
    published = f"elenchus.benchmarks.sets.{family}"
    return published if path_of(published) else f"elenchus.problems.{family}"


@cache
def kind_code(kind: str, families: tuple[str, ...], engine: str = "") -> str:
    """Return the digest of the code of `kind` where problems of `families` reach it and `engine` samples."""
    outputs = {name: schemas.SCHEMAS.get(name) for name in stages.load(kind).OUTPUTS}
    parts = [code_digest(f"elenchus.stages.{kind}", ("run", "Params")), outputs]
    return digest_of(parts + [code_digest(module) for module in chosen_modules(families, engine)])


@cache
def kind_definitions(kind: str, families: tuple[str, ...], engine: str = "") -> dict[str, str]:
    """Return {definition: digest} of what `kind_code` digests."""
    found = dict(definition_digests(f"elenchus.stages.{kind}", ("run", "Params")))
    for module in chosen_modules(families, engine):
        found.update(definition_digests(module))
    for name in stages.load(kind).OUTPUTS:
        if name in schemas.SCHEMAS:
            found[f"elenchus.schemas:SCHEMAS[{name}]"] = digest_of(schemas.SCHEMAS[name])[:12]
    return dict(sorted(found.items()))


def make(
    kind: str,
    params: dict | None = None,
    *,
    seed: int | None,
    where: str = "",
    **inputs: Stage | Iterable[Stage] | None,
) -> Stage:
    """Return a stage of `kind`: parameters completed and validated, inputs checked against what the kind takes.

    `where` says in an error message who asked ("recipe b_star"). Raises UserError.
    """
    module = stages.load(kind)
    at = f"{where}: " if where else ""
    try:
        filled = module.Params.model_validate(params or {}).model_dump(mode="json")
    except ValidationError as e:
        raise UserError(f"{at}stage {kind!r}: {explain(e, module.Params)}") from None
    wanted = {name.rstrip("?*"): (name, offer) for name, offer in module.INPUTS.items()}
    given: dict[str, Stage | tuple[Stage, ...]] = {}
    for name, value in inputs.items():
        if name not in wanted:
            raise UserError(
                f"{at}stage {kind!r} takes no input {name!r}{did_you_mean(name, wanted)}; it takes {', '.join(module.INPUTS)}"
            )
        if value is None:
            continue
        declared, offer = wanted[name]
        many = "*" in declared
        if many != (not isinstance(value, Stage)):
            raise UserError(f"{at}stage {kind!r}: input {name!r} takes {'a list of stages' if many else 'one stage'}")
        sources = tuple(value) if many else (value,)
        for source in sources:
            outputs = stages.load(source.kind).OUTPUTS
            if offer not in outputs:
                raise UserError(
                    f"{at}stage {kind!r}: input {name!r} needs {offer!r}; a {source.kind!r} stage makes {', '.join(outputs)}"
                )
        if sources:
            given[name] = sources if many else value
    absent = [n for n, (declared, _) in wanted.items() if n not in given and "?" not in declared]
    if absent:
        raise UserError(f"{at}stage {kind!r} lacks its input {', '.join(absent)}")
    stage = Stage(kind, filled, given, seed if module.SEEDED else None)
    _ = (
        stage.digest,
        stage.identity,
        stage.pretrained,
    )  # computed now, parents first: a chain of a thousand rounds needs no deep recursion
    return stage


def explain(error: ValidationError, model: type) -> str:
    """Return a pydantic error in one plain sentence per problem: key, what was found, what is allowed."""
    lines = []
    for e in error.errors():
        key = ".".join(str(p) for p in e["loc"]) or "(all)"
        if e["type"] == "extra_forbidden":
            known = keys_at(model, e["loc"][:-1])
            lines.append(f"unknown key {key!r}{did_you_mean(str(e['loc'][-1]), known)}; allowed: {', '.join(known)}")
        else:
            lines.append(f"{key}: {e['msg'][0].lower()}{e['msg'][1:]}, found {e['input']!r}")
    return "; ".join(lines)


def keys_at(model: type, loc: tuple) -> list[str]:
    """Return the field names of the model found by walking `loc` down from `model`."""
    for part in loc:
        found = getattr(model, "model_fields", {}).get(part)
        model = found.annotation if found is not None else model
    return list(getattr(model, "model_fields", {}))


def walk(goals: Iterable[Stage]) -> Iterator[Stage]:
    """Yield every stage that `goals` need, each once, parents before children."""
    seen: set[str] = set()
    stack: list[tuple[Stage, bool]] = [(g, False) for g in reversed(list(goals))]
    while stack:
        stage, expanded = stack.pop()
        if stage.digest in seen:
            continue
        if expanded:
            seen.add(stage.digest)
            yield stage
        else:
            stack.append((stage, True))
            stack.extend((p, False) for p in reversed(stage.parents) if p.digest not in seen)
