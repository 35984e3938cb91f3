"""Results to another place and back: copied once, checked to the last byte, complete or absent."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from elenchus.cli import main


def elenchus(*command: str):
    done = CliRunner().invoke(main, ["results", *command])
    assert done.exit_code in (0, 1), done.output + repr(done.exception)
    return done


def contents(folder: Path) -> dict[str, bytes]:
    files = (p for p in folder.glob("[!.]*/*/**/*") if p.is_file() and p.parts[-3] != "log")
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


@pytest.fixture
def sent(copied, tmp_path):
    """Return (project, the place it was sent to, what it held)."""
    place, before = tmp_path / "place", contents(Path("results"))
    done = elenchus("push", "small", "--to", str(place))
    assert done.exit_code == 0, done.output
    n = len(copied.recipe("small").stages)
    assert f"{n} results sent" in done.output
    return copied, place, before


def test_another_project_takes_them_byte_for_byte_and_twice_moves_nothing(sent):
    _, place, before = sent
    assert "0 results sent" in elenchus("push", "small", "--to", str(place)).output
    shutil.rmtree("results")
    done = elenchus("pull", "small", "--from", str(place))
    assert done.exit_code == 0 and "not there" not in done.output, done.output
    assert contents(Path("results")) == before
    assert "0 results taken" in elenchus("pull", "small", "--from", str(place)).output


def test_a_place_that_is_not_there_is_refused(copied, tmp_path):
    done = elenchus("pull", "small", "--from", str(tmp_path / "plaec"))
    assert done.exit_code == 1 and "plaec: no such folder" in done.output, done.output


@pytest.mark.parametrize("damage", ["truncate", "change", "remove", "manifest", "other"])
def test_what_is_damaged_there_is_refused_and_the_rest_is_taken(sent, damage):
    whole, place, before = sent
    samples = [s for s in whole.recipe("small").stages if s.kind == "sample"]
    folder = place / "sample" / samples[0].digest
    path = folder / ("stage.json" if damage in ("manifest", "other") else "solutions.parquet")
    data = path.read_bytes()
    {
        "truncate": lambda: path.write_bytes(data[:50]),
        "change": lambda: path.write_bytes(b"X" + data[1:]),
        "remove": path.unlink,
        "manifest": lambda: path.write_bytes(data[:50]),
        "other": lambda: shutil.copy(place / "sample" / samples[1].digest / "stage.json", path),
    }[damage]()
    shutil.rmtree("results")
    done = elenchus("pull", "small", "--from", str(place))
    assert done.exit_code == 1 and "1 results are damaged there" in done.output, done.output
    assert f"{folder}/{path.name}" in done.output
    assert set(before) - set(contents(Path("results"))) == {n for n in before if samples[0].digest in n}
    assert not Path("results/.work/sample", samples[0].digest, "taken").exists(), "nothing half stays"

    path.write_bytes(data)
    assert elenchus("pull", "small", "--from", str(place)).exit_code == 0
    assert contents(Path("results")) == before


def test_what_was_cut_short_on_the_way_is_sent_again(sent):
    whole, place, _ = sent
    path = place / "sample" / next(s.digest for s in whole.recipe("small").stages if s.kind == "sample")
    data = (path / "solutions.parquet").read_bytes()
    (path / "solutions.parquet").write_bytes(data[:50])
    assert "1 results sent" in elenchus("push", "small", "--to", str(place)).output
    assert (path / "solutions.parquet").read_bytes() == data


def test_a_damaged_result_is_not_sent(copied, tmp_path):
    stage = next(s for s in copied.recipe("small").stages if s.kind == "sample")
    path = stage.folder / "solutions.parquet"
    path.write_bytes(path.read_bytes()[:50])
    done = elenchus("push", "small", "--to", str(tmp_path / "place"))
    assert done.exit_code == 1 and f"rm -r {copied.root / stage.folder}" in done.output
    assert not (tmp_path / "place" / "sample" / stage.digest / "stage.json").exists()


@pytest.mark.parametrize(
    ("url", "says"), [("nowhere://x/y", "allowed: s3://"), ("/proc/nowhere", "run the same command")]
)
def test_a_place_that_is_none_is_one_plain_message(copied, url, says):
    done = elenchus("push", "small", "--to", url)
    assert done.exit_code == 1 and says in done.output and "Traceback" not in done.output
