"""Who is evaluated: models, process heads, replies from files; and the worked examples that they get."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from elenchus.benchmarks import records, roles
from elenchus.benchmarks.available import check_name
from elenchus.benchmarks.settings import Bench
from elenchus.errors import UserError

WHOLE = 64 << 20  # bytes of a file that is digested whole; of a larger one its ends and pieces between
PIECES, PIECE = 64, 64 << 10


@dataclass(frozen=True)
class Subject:
    """A model under evaluation: the arm's name, and what the stage `pretrained` takes; or replies from files, by role."""

    arm: str
    pretrained: dict | None = None
    generations: tuple[tuple[str, str, str], ...] = ()  # (benchmark, role, file)


def hub_model(path: str, root: Path) -> tuple[str, str] | None:
    """Return (hub id, revision) of a model that bench names by its hub id, `owner/model` or `owner/model@commit`; None of a folder."""
    if (root / Path(path).expanduser()).is_dir() or path.startswith((".", "~", "/", "results/")):
        return None
    name, _, revision = path.partition("@")
    return name, revision or "main"


def model(path: str, root: Path) -> Subject:
    """Return the subject of a model: a folder, a result that holds one, or a hub id in the local cache."""
    on_hub = hub_model(path, root)
    if on_hub:
        from elenchus.stages.pretrained import locate

        name, revision = on_hub
        try:
            _, commit = locate(name, revision)
        except UserError as e:
            raise UserError(str(e).replace("base_model.name", "bench.model")) from None
        last = name.rpartition("/")[2]
        return Subject(f"{last}-{commit[:7]}" if "@" in path else last, {"name": name, "revision": commit})
    folder = root / Path(path).expanduser()
    if not folder.is_dir():
        raise UserError(f"bench.model: no folder {path}")
    real = folder.resolve()
    inner = "model" if (folder / "model" / "config.json").is_file() else ""
    holds = folder / inner
    there = {f.name for f in holds.iterdir()}
    wanted = {
        "config.json": "config.json" in there,
        "weights as .safetensors": any(name.endswith(".safetensors") for name in there),
        "a tokenizer (tokenizer.json)": bool(there & {"tokenizer.json", "tokenizer_config.json", "tokenizer.model"}),
    }
    if lacking := [what for what, ok in wanted.items() if not ok]:
        holding = ", ".join(sorted(there)[:12]) or "nothing"
        raise UserError(f"bench.model: {path} lacks {' and '.join(lacking)}; it holds {holding}")
    name = f"{real.parent.name}-{real.name[:6]}" if re.fullmatch(r"[0-9a-f]{16}", real.name) else real.name
    name = f"{real.parent.name}-{name}" if name == "model" else name
    where = str(Path(path) / inner) if inner else path
    return Subject(re.sub(r"[^\w.\-]", "-", name), {"name": where, "revision": content(holds)})


def head(path: str, root: Path) -> dict:
    """Return the parameters of the stage that takes a process head; UserError where the folder has none."""
    if not path:
        raise UserError("bench.critic: 'head' needs bench.head, a result or folder that holds a process head")
    folder = root / Path(path).expanduser()
    inner = "process_head" if (folder / "process_head").is_dir() else ""
    if not (folder / inner / "head.safetensors").is_file():
        raise UserError(
            f"bench.head: {path} holds no process head (head.safetensors beside a model's files); stages of kind process_head make one"
        )
    return {"name": str(Path(path) / inner), "revision": content(folder / inner)}


@cache
def content(folder: Path) -> str:
    """Return a digest of a model folder's files: of large ones their length, both ends and pieces between."""
    found = hashlib.sha256()
    for file in sorted(f for f in folder.iterdir() if f.is_file()):
        size = file.stat().st_size
        found.update(f"{file.name} {size} ".encode())
        with file.open("rb") as f:
            if size <= WHOLE:
                found.update(hashlib.file_digest(f, "sha256").digest())
                continue
            for k in range(PIECES):
                f.seek((size - PIECE) * k // (PIECES - 1))
                found.update(f.read(PIECE))
    return found.hexdigest()[:16]


def shots(path: str, role: str) -> list[dict]:
    """Return the worked examples of a role in a JSONL file of prompt, reply and role; UserError for anything else in it."""
    if not path:
        return []
    if not Path(path).is_file():
        raise UserError(
            f"bench.shots_file: no file {path}; it is JSONL, a line an example: {json.dumps({'prompt': '...', 'reply': '...'})}"
        )
    found = []
    for record in records.read(Path(path)):
        whose = record.text("role") if record.has("role") else "solver"
        if whose not in roles.ROLES:
            raise record.no("role", repr(whose), ", ".join(roles.ROLES))
        if whose == role:
            found.append({"prompt": record.text("prompt"), "reply": record.text("reply")})
    return found


def replies(p: Bench, root: Path) -> list[Subject]:
    """Return the subject of replies from files, [] where none are given."""
    given = p.generations
    if not given:
        return []
    if isinstance(given, str):
        if len(p.benchmarks) != 1:
            raise UserError(
                "bench.generations: one file is of one benchmark; of several, name each:\n"
                "  'generations={gsm8k.solver: a.jsonl, processbench.critic: b.jsonl}'"
            )
        name = p.benchmarks[0].partition("/")[0]
        check_name(name, root)
        wanted = roles.chosen(name, p.roles)
        given = {f"{name}.{wanted[0]}": given}
        if len(p.roles) > 1:
            raise UserError(f"bench.roles: one file of replies is of one role, found {', '.join(p.roles)}")
    found = []
    for key, file in given.items():
        name, _, role = key.partition(".")
        if role not in roles.ROLES or name not in {b.partition("/")[0] for b in p.benchmarks}:
            raise UserError(
                f"bench.generations: {key!r}; allowed: <one of bench.benchmarks>.<{' | '.join(roles.ROLES)}>"
            )
        found.append((name, role, file))
    arm = Path(next(iter(given.values()))).stem if len(given) == 1 else "generations"
    return [Subject(re.sub(r"[^\w.\-]", "-", arm), None, tuple(found))]
