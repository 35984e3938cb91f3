"""Snapshots of pretrained models, fetched before a run: with `elenchus data get`, all that ever asks the network for data.

Jobs are offline. What a list of recipes starts from comes into the local hub cache (HF_HOME), only the files that a stage
takes, each checked against the checksum that the hub names for its commit.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from elenchus.errors import UserError
from elenchus.graph import Stage
from elenchus.stages.pretrained import FILES, locate

PATIENCE = 10  # seconds for one answer of the hub


def pinned(revision: str) -> bool:
    """Return whether a revision is a commit, which cannot come to mean something else."""
    return re.fullmatch(r"[0-9a-f]{40}", revision) is not None


def pin(name: str, commit: str) -> str:
    """Return the line of params.yaml that pins a model."""
    return f"base_model: {{name: {name}, revision: {commit}}}"


def needed(stages: Iterable[Stage]) -> list[tuple[str, str]]:
    """Return the (name, revision) of every pretrained model that stages start from, folders of this machine left out."""
    asked = {(s.params["name"], s.params["revision"]) for s in stages if s.kind == "pretrained"}
    return sorted((n, r) for n, r in asked if not Path(n).expanduser().is_dir() and not n.startswith((".", "~", "/")))


def fetch(name: str, revision: str, say: Callable[[str], None]) -> str:
    """Bring one model's snapshot into the local cache; return its commit.

    A commit that is here whole costs no request. UserError in one message where the hub does not give it, or gives other
    bytes than it promises; those are removed, so that the same command fetches them anew.
    """
    if pinned(revision):
        try:
            _, commit = locate(name, revision)
        except UserError:
            pass
        else:
            say(f"{name} at {commit}: here")
            return commit
    commit = _download(name, revision)
    _verify(name, commit)
    say(f"{name} at {commit}: fetched, every checksum as the hub names it")
    if not pinned(revision):
        say(f"  {revision!r} can move; pin it in params.yaml:\n  {pin(name, commit)}")
    return commit


def _download(name: str, revision: str) -> str:
    """Bring the files of a snapshot into the cache; return the commit."""
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()  # what fails is said once, in words
    try:
        HfApi().repo_info(
            name, revision=revision, timeout=PATIENCE
        )  # snapshot_download would not say that it is offline
        return Path(snapshot_download(name, revision=revision, etag_timeout=PATIENCE, **FILES)).name
    except Exception as e:  # the hub's client raises its own, httpx's and the system's errors
        raise _plain(e, name, revision) from None


def _verify(name: str, commit: str) -> None:
    """Compare the files of a snapshot with the hub's checksums; remove those that differ, and raise UserError."""
    from huggingface_hub import HfApi

    try:
        checked = HfApi().verify_repo_checksums(name, revision=commit)
    except Exception as e:
        raise _plain(e, name, commit) from None
    for wrong in checked.mismatches:
        link = checked.verified_path / wrong["path"]
        link.resolve().unlink(missing_ok=True)  # the blob that the snapshot's link names
        link.unlink(missing_ok=True)
    if checked.mismatches:
        names = ", ".join(w["path"] for w in checked.mismatches)
        raise UserError(
            f"{name} at {commit}: {names} arrived with other bytes than the hub names (cut short or changed on the way), "
            f"and was removed. Fetch it again:\n  {command(name, commit)}"
        )


def command(name: str, revision: str) -> str:
    """Return the command that fetches one snapshot."""
    return f"elenchus fetch --model {name} --revision {revision}"


def _plain(error: Exception, name: str, revision: str) -> UserError:
    """Return what the hub's client raised as one plain message."""
    from huggingface_hub import constants, errors

    what, kind = f"{name} at {revision!r}", type(error).__name__
    first = (str(error).strip().splitlines() or [kind])[0]
    if isinstance(error, errors.OfflineModeIsEnabled):
        return UserError(f"{what}: HF_HUB_OFFLINE is set, so nothing can be fetched here:\n  unset HF_HUB_OFFLINE")
    if isinstance(error, errors.GatedRepoError):
        return UserError(
            f"{what}: its owners ask for your consent. Give it at {constants.ENDPOINT}/{name}, then\n  hf auth login"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return UserError(f"{what}: the hub has no such revision; `main`, a tag or a commit of 40 digits is allowed")
    if isinstance(error, errors.RepositoryNotFoundError):
        return UserError(
            f"{what}: {constants.ENDPOINT} has no such model, or not for you. Look at the name; a private one needs\n"
            "  hf auth login"
        )
    if isinstance(error, errors.HFValidationError):
        return UserError(f"{what}: not a name of the hub ({first}); found {name!r}, allowed: owner/model")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        home = os.environ.get("HF_HOME", "~/.cache/huggingface")
        return UserError(
            f"{what}: no space left in {home}. What is there is kept; name another:\n  export HF_HOME=<folder>"
        )
    return UserError(
        f"{what}: could not be fetched from {constants.ENDPOINT} ({kind}: {first[:200]}). What is there is kept; where there "
        f"is a network:\n  {command(name, revision)}"
    )
