"""Snapshots of the hub: is one in the local cache, bring one there, and what the hub says when it refuses, in plain words.

Everything comes into the hub's own cache (HF_HOME), models and data sets alike, each file checked against the checksum that
the hub names for its commit. Only `elenchus fetch` and `elenchus data get` ask the network; jobs look at the cache.
"""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from elenchus.errors import UserError

PATIENCE = 10  # seconds for one answer of the hub


@dataclass(frozen=True)
class Repository:
    """A repository of the hub, and which of its files are wanted. again: the command that fetches it, less its revision."""

    kind: Literal["model", "dataset"]
    name: str
    again: str
    wanted: tuple[str, ...]  # patterns
    unwanted: tuple[str, ...] = ()

    @property
    def files(self) -> dict[str, list[str]]:
        """Return the patterns as the hub's client takes them."""
        return {"allow_patterns": list(self.wanted), "ignore_patterns": list(self.unwanted)}

    @property
    def page(self) -> str:
        """Return the address of the repository's page."""
        from huggingface_hub import constants

        return f"{constants.ENDPOINT}/{'datasets/' * (self.kind == 'dataset')}{self.name}"

    def command(self, revision: str) -> str:
        """Return the command that fetches one revision."""
        return f"{self.again} --revision {revision}"


def pinned(revision: str) -> bool:
    """Return whether a revision is a commit, which cannot come to mean something else."""
    return re.fullmatch(r"[0-9a-f]{40}", revision) is not None


def here(repository: Repository, revision: str) -> Path | None:
    """Return the snapshot's folder in the local cache, named by its commit; None where it is not there whole. No request."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    name, kind = repository.name, repository.kind
    try:
        found = snapshot_download(name, repo_type=kind, revision=revision, local_files_only=True, **repository.files)
    except (LocalEntryNotFoundError, HFValidationError):
        return None
    return Path(found)


def commit(repository: Repository, revision: str) -> str:
    """Return the commit that a branch or tag is now; UserError in one message where the hub does not say."""
    from huggingface_hub import HfApi

    name, kind = repository.name, repository.kind
    try:
        return HfApi().repo_info(name, repo_type=kind, revision=revision, timeout=PATIENCE).sha
    except Exception as e:  # the hub's client raises its own, httpx's and the system's errors
        raise plain(e, repository, revision) from None


def fetch(repository: Repository, revision: str) -> Path:
    """Bring a snapshot into the local cache, every file as the hub's checksums say; return its folder, named by its commit.

    UserError in one message where the hub does not give it, or gives other bytes than it promises; those are removed, so
    that the same command fetches them anew.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()  # what fails is said once, in words
    at = commit(repository, revision)  # snapshot_download would not say that it is offline
    name, kind = repository.name, repository.kind
    try:
        folder = Path(
            snapshot_download(name, repo_type=kind, revision=revision, etag_timeout=PATIENCE, **repository.files)
        )
    except Exception as e:
        raise plain(e, repository, revision) from None
    if not any(folder.rglob("*")):
        wanted = ", ".join(repository.wanted)
        raise UserError(f"{name} at {at}: nothing there is wanted here ({wanted}); look at {repository.page}")
    verify(repository, folder.name)
    return folder


def verify(repository: Repository, commit: str) -> None:
    """Compare the files of a snapshot with the hub's checksums; remove those that differ, and raise UserError."""
    from huggingface_hub import HfApi

    try:
        checked = HfApi().verify_repo_checksums(repository.name, repo_type=repository.kind, revision=commit)
    except Exception as e:
        raise plain(e, repository, commit) from None
    for wrong in checked.mismatches:
        link = checked.verified_path / wrong["path"]
        link.resolve().unlink(missing_ok=True)  # the blob that the snapshot's link names
        link.unlink(missing_ok=True)
    if checked.mismatches:
        names = ", ".join(w["path"] for w in checked.mismatches)
        raise UserError(
            f"{repository.name} at {commit}: {names} arrived with other bytes than the hub names (cut short or changed on the "
            f"way), and was removed. Fetch it again:\n  {repository.command(commit)}"
        )


def plain(error: Exception, repository: Repository, revision: str) -> UserError:
    """Return what the hub's client raised as one plain message."""
    from huggingface_hub import constants, errors

    what, kind = f"{repository.name} at {revision!r}", type(error).__name__
    first = (str(error).strip().splitlines() or [kind])[0]
    if isinstance(error, errors.OfflineModeIsEnabled):
        return UserError(f"{what}: HF_HUB_OFFLINE is set, so nothing can be fetched here:\n  unset HF_HUB_OFFLINE")
    if isinstance(error, errors.GatedRepoError):
        return UserError(
            f"{what}: its owners ask for your consent. Give it at {repository.page}, then\n  hf auth login"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return UserError(f"{what}: the hub has no such revision; `main`, a tag or a commit of 40 digits is allowed")
    if isinstance(error, errors.RepositoryNotFoundError):
        return UserError(
            f"{what}: {constants.ENDPOINT} has no such {repository.kind}, or not for you. Look at the name; a private one "
            "needs\n  hf auth login"
        )
    if isinstance(error, errors.HFValidationError):
        return UserError(f"{what}: not a name of the hub ({first}); found {repository.name!r}, allowed: owner/name")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        home = os.environ.get("HF_HOME", "~/.cache/huggingface")
        return UserError(
            f"{what}: no space left in {home}. What is there is kept; name another:\n  export HF_HOME=<folder>"
        )
    return UserError(
        f"{what}: could not be fetched from {constants.ENDPOINT} ({kind}: {first[:200]}). What is there is kept; where there "
        f"is a network:\n  {repository.command(revision)}"
    )
