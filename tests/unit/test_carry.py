"""Results carried over a change of code: only equal bytes, only from the same inputs, and all of it said."""

import json
import os

import pytest

from elenchus import carry, forks, run_stage
from elenchus.errors import CorruptResult
from elenchus.graph import RESULTS, make, walk
from elenchus.job import file_entries, read_manifest

OPTIONS = {"modulus": 5, "min_length": 1, "max_length": 2}


def stages():
    """Return a proof that two splits share no problem, and the splits: parents first."""
    splits = [make("problems", {"options": OPTIONS, "split": s, "n": 5}, seed=0) for s in ("train", "test")]
    return list(walk([make("disjoint", {}, seed=0, problems=splits)]))


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Return a project whose results were made by earlier code: other digests, and one definition that was other."""
    monkeypatch.setattr(forks, "preload", lambda: None)
    monkeypatch.chdir(tmp_path)
    before = {}
    for folder in [run_stage.run(s.spec(), tmp_path / RESULTS) for s in stages()]:
        manifest = read_manifest(folder)
        before[folder.name] = manifest["digest"] = "e" + folder.name[1:]
        manifest["code"] = "of earlier"
        manifest["definitions"]["elenchus.seeds:rng"] = "was other"
        given = manifest["inputs"]
        manifest["inputs"] = {
            k: [f"results/problems/{before[p.rpartition('/')[2]]}" for p in ([v] if isinstance(v, str) else v)]
            for k, v in given.items()
        }
        (folder / "stage.json").write_text(json.dumps(manifest))
        os.replace(folder, folder.with_name(manifest["digest"]))
    return tmp_path


def run(project, checks=1):
    return carry.carry(project, stages(), (), checks, 2, lambda _: None)


def test_equal_bytes_are_carried_and_the_manifest_says_from_what(project):
    groups, carried = run(project)
    wanted = stages()
    assert carried == {s.digest for s in wanted}
    assert [(g.kind, len(g.stages), len(g.checked), g.differs) for g in groups] == [
        ("problems", 1, 1, []),  # the split is a choice: each is a group of its own
        ("problems", 1, 1, []),
        ("disjoint", 1, 1, []),
    ]
    assert groups[0].changed == ("elenchus.seeds:rng",)
    for s in wanted:
        manifest = read_manifest(project / s.folder)
        assert {k: manifest[k] for k in s.spec()} == s.spec() and manifest["definitions"] == s.definitions()
        assert manifest["files"] == {
            k: v for k, v in file_entries(project / s.folder).items() if k not in ("stage.json", "cost.json")
        }
        (hop,) = manifest["carried"]
        assert hop == {"digest": "e" + s.digest[1:], "code": "of earlier", "checked": [s.digest]}
    assert not (project / RESULTS / ".work" / "carry").exists()
    assert carry.summary(project, wanted) == {"stages": 3, "checked": 3}
    assert run(project) == ([], set()), "a second time there is nothing to carry"


def test_a_carried_result_is_what_the_stage_would_make(project, tmp_path_factory):
    run(project)
    other = tmp_path_factory.mktemp("anew") / RESULTS
    for s in stages():
        run_stage.run(s.spec(), other)
        assert read_manifest(other.parent / s.folder)["files"] == read_manifest(project / s.folder)["files"]


def test_other_bytes_are_not_carried_nor_what_needs_them(project):
    train, test, proof = stages()
    folder = project / RESULTS / "problems" / ("e" + train.digest[1:])
    manifest = read_manifest(folder)
    data = (folder / "problems.parquet").read_bytes() + b" "
    (folder / "problems.parquet").unlink()
    (folder / "problems.parquet").write_bytes(data)
    manifest["files"] = {k: v for k, v in file_entries(folder).items() if k not in ("stage.json", "cost.json")}
    (folder / "stage.json").write_text(json.dumps(manifest))
    groups, carried = run(project)
    assert carried == {test.digest}
    assert groups[0].differs == [f"{train.digest}: problems.parquet"]
    assert not (project / train.manifest).exists() and not (project / proof.manifest).exists()


def test_a_damaged_earlier_result_is_named_and_nothing_is_carried(project):
    train = stages()[0]
    path = project / RESULTS / "problems" / ("e" + train.digest[1:]) / "problems.parquet"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(CorruptResult, match="rm -r"):
        run(project)
    assert not any((project / s.manifest).exists() for s in stages())


def test_a_result_of_other_inputs_is_no_candidate(project):
    train, test, proof = stages()
    folder = project / RESULTS / "disjoint" / ("e" + proof.digest[1:])
    manifest = read_manifest(folder)
    manifest["inputs"] = {"problems": [f"results/problems/{d}" for d in ("0" * 16, "1" * 16)]}
    (folder / "stage.json").write_text(json.dumps(manifest))
    assert run(project)[1] == {train.digest, test.digest}


def test_choices_tell_stages_apart_and_amounts_do_not():
    assert carry.choices_of({"n": 3, "source": "model"}) == carry.choices_of({"n": 7, "source": "model"})
    assert carry.choices_of({"n": 3, "source": "model"}) != carry.choices_of({"n": 3, "source": "oracle"})
    assert carry.choices_of({"weight": 0.0}) != carry.choices_of({"weight": 0.5}), "zero switches a part off"
    assert carry.choices_of({"blind": []}) != carry.choices_of({"blind": ["result"]})


def test_a_stage_that_fails_today_is_not_carried_and_others_are(project, monkeypatch):
    """Its log would be gone with the folder of the checks, so the failure is no end: it is a difference."""
    train, test, proof = stages()
    monkeypatch.setattr(run_stage, "same_code", lambda spec: 1 / 0 if spec["digest"] == train.digest else None)
    groups, carried = run(project)
    assert carried == {test.digest}
    assert [g.differs for g in groups] == [[f"{train.digest}: not made"], [], [f"{proof.digest}: not made"]]
