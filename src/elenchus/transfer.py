"""Results to and from object storage or any other place that fsspec knows: s3://bucket/folder, sftp://, a mounted folder.

A result is named by what it is, so that sending is copying what is not there yet, manifest last. Taking checks every byte
against the manifest before a folder is moved in place: a result is complete or absent here, whatever the other side holds.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from elenchus import findings
from elenchus.errors import CorruptResult, UserError
from elenchus.graph import RESULTS, Stage
from elenchus.job import check_file, read_manifest
from elenchus.run_stage import clear_leftovers, only_one, plain_disk_errors, to_disk

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

AT_ONCE = 8  # results under way at a time
# An address at which nothing answers is said within half a minute; botocore's own limits add up to many minutes.
QUICK = {"config_kwargs": {"connect_timeout": 5, "read_timeout": 60, "retries": {"max_attempts": 2}}}


@dataclass(frozen=True)
class Place:
    """A folder elsewhere that holds results as results/ does: <kind>/<digest>/<files>."""

    url: str
    fs: AbstractFileSystem
    base: str

    def path(self, stage: Stage, name: str) -> str:
        """Return the path of a file of a stage's result."""
        return f"{self.base}/{stage.kind}/{stage.digest}/{name}"

    def sizes(self) -> dict[str, int]:
        """Return {path: bytes} of all that the place holds; {} where it is empty. UserError where it cannot be reached."""
        with plain(self.url):
            try:
                return {path: info["size"] for path, info in self.fs.find(self.base, detail=True).items()}
            except FileNotFoundError as e:
                if "bucket" in str(e).lower():
                    raise
                return {}


def place(url: str) -> Place:
    """Return the place that `url` names; UserError where no installed library knows it."""
    import fsspec

    protocol = url.partition("://")[0] if "://" in url else "file"
    options = QUICK if protocol in ("s3", "s3a") else {}
    try:
        fs, base = fsspec.url_to_fs(url, use_listings_cache=False, skip_instance_cache=True, **options)
    except ImportError:
        mend = (
            "pip install --no-deps --require-hashes -r requirements/s3.txt" if options else f"pip install {protocol}fs"
        )
        raise UserError(f"{url}: the library that reads {protocol}:// is not installed:\n  {mend}") from None
    except ValueError as e:
        raise UserError(f"{url}: {e}; allowed: s3://<bucket>/<folder>, or a folder's path") from None
    return Place(url.rstrip("/"), fs, base.rstrip("/"))


def push(root: Path, stages: Iterable[Stage], to: Place, say: Callable[[str], None]) -> None:
    """Send the finished ones of `stages` that `to` does not hold whole; UserError where one is damaged here."""
    made = [s for s in stages if findings.done(root, s)]
    there = to.sizes()
    todo = [s for s in made if not held(root, s, to, there)]

    def send(stage: Stage) -> int:
        folder = root / stage.folder
        files = read_manifest(folder)["files"]
        for name, entry in files.items():
            check_file(folder / name, entry)
        names = [*files, "cost.json", "stage.json"]  # the manifest last: without it a result does not count
        with plain(to.url):
            for name in names:
                target = to.path(stage, name)
                to.fs.makedirs(to.fs._parent(target), exist_ok=True)
                to.fs.put_file(str(folder / name), target)
        return sum((folder / name).stat().st_size for name in names)

    sent = sum(together(send, todo))
    say(f"{len(todo)} results sent to {to.url} ({sent / 1e6:.1f} MB), {len(made) - len(todo)} were there")


def held(root: Path, stage: Stage, to: Place, there: dict[str, int]) -> bool:
    """Return whether every file of a result is elsewhere in its size: what was cut short is sent again."""
    manifest = root / stage.manifest
    if there.get(to.path(stage, "stage.json")) != manifest.stat().st_size:
        return False
    files = read_manifest(manifest.parent)["files"]
    return all(there.get(to.path(stage, name)) == entry["bytes"] for name, entry in files.items())


def pull(root: Path, stages: Iterable[Stage], source: Place, say: Callable[[str], None]) -> None:
    """Take those of `stages` that are not done here and that `source` holds.

    UserError naming those that are damaged there; nothing of them is kept, and the others are.
    """
    todo = [s for s in stages if not findings.done(root, s)]
    there = source.sizes()
    with plain(source.url):
        if not there and not source.fs.exists(source.base):
            raise UserError(f"{source.url}: no such folder; name the one that `elenchus results push` filled")
    found = [s for s in todo if source.path(s, "stage.json") in there]

    def take(stage: Stage) -> CorruptResult | None:
        try:
            take_one(root / RESULTS, stage, source)
        except CorruptResult as e:
            return e
        return None

    damaged = [e for e in together(take, found) if e is not None]
    absent = f"; {len(todo) - len(found)} are not there, and snakemake makes them" if len(found) < len(todo) else ""
    say(f"{len(found) - len(damaged)} results taken from {source.url}{absent}")
    if damaged:
        more = f"\nand {len(damaged) - 5} more" * (len(damaged) > 5)
        raise UserError(
            f"{len(damaged)} results are damaged there; nothing of them was kept:\n"
            + "\n".join(str(e) for e in damaged[:5])
            + f"{more}\nSend them again from where they are whole: elenchus results push <recipe> --to {source.url}"
        )


def take_one(results: Path, stage: Stage, source: Place) -> None:
    """Take one result, checked to the last byte, and move it in place; CorruptResult where it is not what it says."""
    folder = results / stage.kind / stage.digest
    work = results / ".work" / stage.kind / stage.digest
    aside = work / "taken"
    with plain_disk_errors(results), only_one(work):
        if (folder / "stage.json").exists():
            return
        clear_leftovers(folder, aside)
        aside.mkdir(parents=True)
        try:
            manifest = take_manifest(stage, source, aside)
            for name, entry in manifest["files"].items():
                (aside / name).parent.mkdir(parents=True, exist_ok=True)
                take_file(source, stage, name, aside)
                try:
                    check_file(aside / name, entry)
                except CorruptResult as e:
                    why = str(e).splitlines()[0].rpartition("(")[2].rstrip(").")
                    raise CorruptResult(f"  {source.url}/{stage.kind}/{stage.digest}/{name}: {why}") from None
            to_disk(aside)
            folder.parent.mkdir(parents=True, exist_ok=True)
            os.replace(aside, folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def take_manifest(stage: Stage, source: Place, aside: Path) -> dict:
    """Take cost.json and stage.json; return the manifest. CorruptResult where it is not that of the planned stage."""
    at = f"  {source.url}/{stage.kind}/{stage.digest}"
    for name in ("cost.json", "stage.json"):
        take_file(source, stage, name, aside)
        try:
            told = json.loads((aside / name).read_text())
        except ValueError:
            raise CorruptResult(f"{at}/{name}: not valid JSON, cut short or changed") from None
    wrong = [key for key, value in stage.spec().items() if told.get(key) != value]
    if wrong or any(Path(name).is_absolute() or ".." in Path(name).parts for name in told.get("files", {"..": 0})):
        raise CorruptResult(f"{at}/stage.json: not the manifest of this stage ({', '.join(wrong) or 'files'})")
    return told


def take_file(source: Place, stage: Stage, name: str, aside: Path) -> None:
    """Copy one file of a result; CorruptResult where it is not there."""
    with plain(source.url):
        try:
            source.fs.get_file(source.path(stage, name), str(aside / name))
        except FileNotFoundError:
            raise CorruptResult(f"  {source.url}/{stage.kind}/{stage.digest}/{name}: missing") from None


def together(work: Callable, stages: list[Stage]) -> list:
    """Return work(stage) of all stages, several at a time; after the first error no other is begun."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            return list(pool.map(work, stages))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


@contextlib.contextmanager
def plain(url: str) -> Iterator[None]:
    """Turn what a storage's client raises into one plain message."""
    try:
        yield
    except UserError:
        raise
    except Exception as e:  # each client raises its own kinds; a full disk here is told by its caller
        if isinstance(e, OSError) and e.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        said = " ".join(str(e).split())[:300] or type(e).__name__
        raise UserError(
            f"{url}: {said}\nLook at the address, the network and your key (for S3: AWS_ACCESS_KEY_ID, "
            "AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL where it is not Amazon's); then run the same command again, it goes on"
        ) from None
