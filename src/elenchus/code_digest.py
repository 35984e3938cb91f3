"""The digest of the code that a stage runs: its entry point and every definition of this package that it can reach.

Definitions, not files: a function that a kind does not use can change without re-running it. Docstrings, comments, the
annotations of functions and formatting do not count, since a normal form of the syntax tree is digested. What is reached is
found from names alone, which errs on the safe side:
  - a name that a definition mentions and that its module defines or imports from this package is followed;
  - `module.attribute` follows that attribute, a module mentioned in any other way counts whole;
  - module-level statements other than definitions, imports and assignments count with every definition of the module.
Not followed: packages outside this one (the lock file pins them), imports made from strings (the families: a stage names its
family's module, see `graph.py`), and the columns of tables (`COLUMNS`).
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib.util
import json
import os
import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

PACKAGE = "elenchus"
# Not followed: which columns there are is in the digests of the stages that write them, table by table (`graph.py`).
COLUMNS = ("elenchus.schemas", "SCHEMAS")
ROOT = Path(__file__).parent


@dataclass(frozen=True)
class Module:
    """One source file, taken apart: top-level definitions by name, imports from this package, and loose statements."""

    name: str
    definitions: dict[str, tuple[ast.stmt, ...]]
    imports: dict[str, tuple[str, str | None]]  # local name -> (module, name in it; None: the module itself)
    loose: tuple[ast.stmt, ...]
    dumps: dict[str, str] = field(default_factory=dict)


@cache
def path_of(module: str) -> Path | None:
    """Return the source file of a module of this package, None where there is none."""
    if module.split(".")[0] != PACKAGE:
        return None
    base = ROOT.joinpath(*module.split(".")[1:])
    return (
        next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()), None)
        if base != ROOT
        else ROOT / "__init__.py"
    )


def imports_of(node: ast.AST, module: str) -> dict[str, tuple[str, str | None]]:
    """Return {local name: (module, name)} of all imports from this package inside `node` (functions' own included)."""
    found: dict[str, tuple[str, str | None]] = {}
    for n in ast.walk(node):
        if isinstance(n, ast.Import):
            for a in n.names:
                if a.name.split(".")[0] == PACKAGE:
                    found[a.asname or a.name.split(".")[0]] = (a.name if a.asname else PACKAGE, None)
        elif isinstance(n, ast.ImportFrom):
            package = module if path_of(module).name == "__init__.py" else module.rpartition(".")[0]
            source = importlib.util.resolve_name("." * n.level + (n.module or ""), package) if n.level else n.module
            if not source or source.split(".")[0] != PACKAGE:
                continue
            for a in n.names:
                is_module = path_of(f"{source}.{a.name}") is not None
                found[a.asname or a.name] = (f"{source}.{a.name}", None) if is_module else (source, a.name)
    return found


def targets(node: ast.stmt) -> list[str]:
    """Return the names that a top-level statement defines."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
        goals = node.targets if isinstance(node, ast.Assign) else [node.target]
        return [n.id for g in goals for n in ast.walk(g) if isinstance(n, ast.Name)]
    return []


@cache
def parse(module: str) -> Module:
    """Return `module` taken apart."""
    tree = ast.parse(path_of(module).read_text())
    definitions: dict[str, list[ast.stmt]] = {}
    loose = []
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom) or is_docstring(node) or is_type_checking(node):
            continue
        names = targets(node)
        for name in names:
            definitions.setdefault(name, []).append(node)
        if not names:
            loose.append(node)
    return Module(module, {k: tuple(v) for k, v in definitions.items()}, imports_of(tree, module), tuple(loose))


def is_docstring(node: ast.stmt) -> bool:
    """Return whether `node` is a bare string."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def is_type_checking(node: ast.stmt) -> bool:
    """Return whether `node` is `if TYPE_CHECKING:`, which never runs."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


class Normal(ast.NodeTransformer):
    """Drops what cannot change a result: bare strings, functions' annotations, descriptions of fields."""

    def visit_arg(self, node: ast.arg) -> ast.arg:
        """Drop the annotation of an argument."""
        node.annotation = None
        return node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        """Visit `node`, its body without bare strings."""
        super().generic_visit(node)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
        if isinstance(getattr(node, "body", None), list):
            node.body = [n for n in node.body if not is_docstring(n)] or [ast.Pass()]
        if isinstance(node, ast.Call) and any(k.arg == "description" for k in node.keywords):
            # Field(description=...) is documentation too
            node.keywords = [k for k in node.keywords if k.arg != "description"]
        return node


@cache
def normal(module: str, name: str) -> tuple[ast.AST, ...]:
    """Return the normal form of one definition ("": of the module's loose statements)."""
    m = parse(module)
    nodes = m.definitions[name] if name else m.loose
    return tuple(Normal().visit(ast.parse(ast.unparse(n))) for n in nodes)


def own_text(module: str, name: str) -> str:
    """Return the source of `normal`."""
    return "\n".join(ast.unparse(node) for node in normal(module, name))


@cache
def references(module: str, name: str) -> frozenset[tuple[str, str]]:
    """Return what one definition mentions: (module, definition), or (module, "*") for a whole module."""
    m = parse(module)
    found: set[tuple[str, str]] = set()
    for node in normal(module, name):
        imports = {**m.imports, **imports_of(node, module)}
        inside = {id(n.value) for n in ast.walk(node) if isinstance(n, ast.Attribute)}
        for n in ast.walk(node):
            if isinstance(n, ast.Attribute) and (dotted := dotted_name(n)) and dotted[0] in imports:
                found.add(resolve(imports[dotted[0]], dotted[1:]))
            elif isinstance(n, ast.Name) and n.id in imports:
                source, attribute = imports[n.id]
                if attribute is not None or id(n) not in inside:
                    found.add((source, attribute or "*"))
            elif isinstance(n, ast.Name) and n.id in m.definitions and n.id != name:
                found.add((module, n.id))
    return frozenset(found)


def dotted_name(node: ast.Attribute) -> tuple[str, ...] | None:
    """Return ("a", "b", "c") for `a.b.c`, None where the base is not a plain name."""
    parts = []
    current: ast.expr = node
    while isinstance(current, ast.Attribute):
        parts.append(current.attr)
        current = current.value
    return (current.id, *reversed(parts)) if isinstance(current, ast.Name) else None


def resolve(target: tuple[str, str | None], attributes: tuple[str, ...]) -> tuple[str, str]:
    """Return (module, definition) that `name.attributes` means where `name` was imported as `target`."""
    module, definition = target
    if definition is not None:
        return module, definition
    for i, attribute in enumerate(attributes):
        if path_of(f"{module}.{attribute}") is None:
            return (module, attribute) if attribute in parse(module).definitions else (module, "*")
        module = f"{module}.{attribute}"
        if i + 1 == len(attributes):
            return module, "*"
    return module, "*"


@cache
def closure(module: str, roots: tuple[str, ...] = ("*",)) -> tuple[tuple[str, str], ...]:
    """Return every (module, definition) that `roots` of `module` can reach, themselves included, sorted.

    "*" as a root is the whole module; "" as a definition stands for a module's loose statements.
    """
    seen: set[tuple[str, str]] = set()
    todo = [(module, name) for name in roots]
    while todo:
        source, name = todo.pop()
        if (source, name) in seen or (source, name) == COLUMNS or path_of(source) is None:
            continue
        m = parse(source)
        if name == "*":
            seen.add((source, name))
            todo += [(source, d) for d in m.definitions]
        elif name and name not in m.definitions:  # a name that the module itself imported: follow it to its origin
            if name in m.imports:
                origin, inner = m.imports[name]
                todo.append((origin, inner or "*"))
        else:
            seen.add((source, name))
            todo += references(source, name)
            todo.append((source, ""))
    return tuple(sorted((s, d) for s, d in seen if d != "*" and (d or parse(s).loose)))


@cache
def definition_digests(module: str, roots: tuple[str, ...] = ("*",)) -> dict[str, str]:
    """Return {"module:definition": 12 hex digits} of all that is reached: what names a change."""
    kept, key = remembered(), f"{module} {' '.join(roots)}"
    if key not in kept:
        kept[key] = {
            f"{source}:{name or '(statements)'}": hashlib.sha256(own_text(source, name).encode()).hexdigest()[:12]
            for source, name in closure(module, roots)
        }
        remember(kept)
    return kept[key]


# Taking all modules apart takes a second, in every command and every job. What was found is therefore kept beside the
# compiled modules, under a digest of every source file's bytes: any change anywhere, and it is found anew.


@cache
def package_digest() -> str:
    """Return the digest of all source files of the package, and of the Python that reads them."""
    found = hashlib.sha256(sys.version.encode())
    for path in sorted(ROOT.rglob("*.py")):
        found.update(f"{path.relative_to(ROOT)} {path.stat().st_size} ".encode() + path.read_bytes())
    return found.hexdigest()[:24]


@cache
def remembered() -> dict[str, dict[str, str]]:
    """Return what is kept of the package as it is now, {} where there is nothing that can be read."""
    try:
        return json.loads((ROOT / "__pycache__" / f"code_digest.{package_digest()}.json").read_text())
    except (OSError, ValueError):
        return {}


def remember(kept: dict[str, dict[str, str]]) -> None:
    """Keep `kept` for the next process; where the package cannot be written to, nothing is kept."""
    path = ROOT / "__pycache__" / f"code_digest.{package_digest()}.json"
    aside = path.with_suffix(f".{os.getpid()}")
    with contextlib.suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        aside.write_text(json.dumps(kept))
        os.replace(aside, path)
        for other in path.parent.glob("code_digest.*.json"):
            if other != path:
                other.unlink()


@cache
def code_digest(module: str, roots: tuple[str, ...] = ("*",)) -> str:
    """Return 16 hex digits over all code of this package that `roots` of `module` can reach."""
    text = "\n".join(f"{k} {v}" for k, v in sorted(definition_digests(module, roots).items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
