"""Files of a data set from the Hugging Face hub, at a pinned revision."""

from __future__ import annotations

import re
from pathlib import Path

from elenchus.benchmarks.card import Card
from elenchus.errors import UserError


def fetch(name: str, card: Card, revision: str, folder: Path) -> Path:
    """Return the folder with the set's files of one revision, fetched below `folder`.

    revision: a commit of 40 hexadecimal digits; a branch or tag can change under a result and is refused. UserError
    where the set has no hub repository, or the hub cannot be reached.
    """
    if not card.hub:
        raise UserError(f"{name}: not on the hub under its own name; fetch it from {card.source} and name the folder")
    if not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise UserError(
            f"{name}: revision {revision!r} is not pinned; allowed: a commit of 40 hexadecimal digits, as\n"
            f"  git ls-remote https://huggingface.co/datasets/{card.hub} HEAD\nprints it"
        )
    from huggingface_hub import snapshot_download

    patterns = [p for patterns in card.splits.values() for p in patterns]
    goal = folder / name / revision
    try:
        snapshot_download(card.hub, repo_type="dataset", revision=revision, local_dir=goal, allow_patterns=patterns)
    except Exception as e:  # the hub's client raises many kinds, all of which mean the same to the user
        raise UserError(
            f"{name}: {card.hub} at {revision[:12]} could not be fetched ({type(e).__name__}: {str(e).splitlines()[0]}); "
            f"fetch it elsewhere and name the folder:\n  elenchus data get {name} --from <folder>"
        ) from None
    return goal
