"""Commits written into params.yaml, beside the names of the models that they pin; comments and all else stay as they are."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from elenchus.config import Loader, read_yaml
from elenchus.errors import UserError

Keys = tuple[str | int, ...]


def pin(path: Path, name: str, revision: str, commit: str) -> list[str]:
    """Write a model's commit wherever the file names the model at `revision` (none is "main"); return the keys that changed,
    such as "cluster.spc.base_model.revision". The file appears at once, and only if it then says what it said before, and
    the commit.
    """
    text, goal = path.read_text(), deepcopy(read_yaml(path))
    edits: set[tuple[int, int, str]] = set()
    changed = []
    for keys, node in mappings(yaml.compose(text, Loader=Loader)):
        if keys[-1:] == ("base_model",):
            edit = in_base_model(node, text, name, revision, commit)
            if edit:
                edits.add(edit)
                changed.append((*keys, "revision"))
                at(goal, keys)["revision"] = commit
        elif keys == ("bench",):
            for where, scalar in bench_models(node):
                if scalar.value in ([name, f"{name}@main"] if revision == "main" else [f"{name}@{revision}"]):
                    edits.add((scalar.start_mark.index, scalar.end_mark.index, quoted(f"{name}@{commit}")))
                    changed.append((*keys, *where))
                    at(goal, (*keys, *where[:-1]))[where[-1]] = f"{name}@{commit}"
    if not edits:
        return []
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(text)
    try:
        if read_yaml(aside) != goal:
            raise UserError(
                f"{path}: written otherwise than can be edited here. Add by hand, to {dotted(changed[0])}:\n  {commit}"
            )
        aside.chmod(path.stat().st_mode)
        os.replace(aside, path.resolve())
    finally:
        aside.unlink(missing_ok=True)
    return [dotted(keys) for keys in changed]


def in_base_model(
    node: yaml.MappingNode, text: str, name: str, revision: str, commit: str
) -> tuple[int, int, str] | None:
    """Return the edit (start, end, text) that pins `name` in a mapping {name, revision}; None where it names something else."""
    values = {key.value: value for key, value in node.value}
    old = values.get("revision")
    if "name" not in values or (values["name"].value, old.value if old else "main") != (name, revision):
        return None
    if old:
        return old.start_mark.index, old.end_mark.index, quoted(commit)
    end = values["name"].end_mark.index
    if node.flow_style:
        return end, end, f", revision: {quoted(commit)}"
    key = next(key for key, _ in node.value if key.value == "name")
    line_end = text.find("\n", end)  # after a comment
    end = len(text) if line_end < 0 else line_end
    return end, end, "\n" + " " * key.start_mark.column + f"revision: {quoted(commit)}"


def bench_models(node: yaml.MappingNode) -> Iterator[tuple[Keys, yaml.ScalarNode]]:
    """Yield (keys, scalar) of each model that the section bench names."""
    for key, value in node.value:
        if key.value == "model" and isinstance(value, yaml.ScalarNode):
            yield ("model",), value
        elif key.value == "model":
            yield from ((("model", i), one) for i, one in enumerate(value.value))


def mappings(node: yaml.Node | None, keys: Keys = ()) -> Iterator[tuple[Keys, yaml.MappingNode]]:
    """Yield (keys, mapping) of every mapping below a node, through mappings only."""
    if isinstance(node, yaml.MappingNode):
        yield keys, node
        for key, value in node.value:
            yield from mappings(value, (*keys, key.value))


def at(data: Any, keys: Keys) -> Any:
    """Return what stands at `keys`."""
    for key in keys:
        data = data[key]
    return data


def quoted(text: str) -> str:
    """Return a text as a YAML scalar that is read as a text: forty digits and one "e" would be a number."""
    return text if yaml.load(text, Loader=Loader) == text else json.dumps(text)


def dotted(keys: Keys) -> str:
    """Return keys in the form that messages use."""
    return ".".join(map(str, keys))
