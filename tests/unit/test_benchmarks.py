"""Loaders of published data sets: counts, labels, bad input, the cache, the commands."""

import gzip
import json
import math
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from real import FIXTURES, REAL, needs_real

from elenchus import benchmarks, fetch
from elenchus.benchmarks import card, mapped, records, store
from elenchus.cli import main
from elenchus.errors import UserError

MADE = FIXTURES / "made"
WHOLE = {  # set -> (folder, {split: records})
    "gsm8k": ("gsm8k", {"train": 7473, "test": 1319}),
    "gsm8k_solutions": ("gsm8k", {"test": 1319}),
    "processbench": ("processbench", {"gsm8k": 400, "math": 1000, "olympiadbench": 1000, "omnimath": 1000}),
    "metacritique": ("metacritique", {"test": 100}),
    "svamp": ("svamp", {"test": 1000}),
    "strategyqa": ("strategyqa", {"train": 2061, "dev": 229}),
    "humaneval": ("humaneval", {"test": 164}),
    "mbpp": ("mbpp", {"all": 974, "test": 500}),
    "game24": ("game24", {"all": 1362}),
    "prontoqa": ("prontoqa", {"test": 500}),
    "prm800k": ("openr", {"samples": 6}),
    "math_shepherd": ("openr", {"samples": 7}),
    "omegaprm": ("openr", {"train": 3, "trees": 3}),
    "countdown_puzzles": ("countdown/uft", {"train": 10240, "test": 1024}),
    "realcritic": (
        "realcritic",
        {"arc-challenge": 263, "college_math": 279, "gsm8k": 273, "math": 268, "mmlu_stem": 292, "olympiadbench": 267},
    ),
}
EXCERPTS = [n for n in WHOLE if n not in ("gsm8k_solutions", "prm800k", "omegaprm")]


def by_split(name, folder):
    found = {}
    for item in benchmarks.items(name, folder):
        found.setdefault(item.problem.meta["split"], []).append(item)
    return found


@needs_real
@pytest.mark.parametrize("name", WHOLE)
def test_whole_files(name):
    folder, rows = WHOLE[name]
    found = by_split(name, REAL / folder)
    assert {k: len(v) for k, v in found.items()} == rows
    ids = [i.problem.id for v in found.values() for i in v]
    assert len(set(ids)) == len(ids)
    known = {k: v for k, v in benchmarks.load(name).CARD.rows.items() if k in rows}
    assert known == {k: rows[k] for k in known}


@needs_real
def test_tinyzero_has_the_same_form():
    assert {k: len(v) for k, v in by_split("countdown_puzzles", REAL / "countdown/tinyzero").items()} == {
        "train": 8001,
        "test": 2001,
    }


@pytest.mark.parametrize("name", EXCERPTS)
def test_excerpts(name):
    found = [i for v in by_split(name, FIXTURES / name).values() for i in v]
    assert 7 <= len(found) <= 20
    for item in found:
        assert item.problem.family == name and item.problem.id.startswith(f"{name}-")
        assert item.problem.prompt.strip() or name == "metacritique"
        for s in item.solutions:
            assert s.first_error is None or -1 <= s.first_error < len(s.steps)
            assert s.ratings == () or len(s.ratings) == len(s.steps)


def one(name, at=0, folder=MADE, split=None):
    return list(benchmarks.items(name, folder / name, split))[at]


def test_math_made():
    assert [i.problem.answer for i in benchmarks.items("math", MADE / "math")] == [r"\frac{3}{2}", "-2, 2"]
    assert benchmarks.check(one("math").problem, "1.5") and benchmarks.check(one("math", 1).problem, r"\{2, -2\}")


def test_criticbench_made():
    item = one("criticbench")
    assert item.solutions[0].correct is False and benchmarks.check(item.problem, "five")
    code = one("criticbench", 1)
    assert benchmarks.check(code.problem, code.solutions[0].text)
    assert not benchmarks.check(code.problem, "def add(a, b):\n    return a - b")


def test_pcbench_made():
    item = one("pcbench")
    assert "four apples" in item.problem.prompt and "four" not in item.problem.meta["normal"]


def test_competition_made():
    assert [i.problem.answer for i in benchmarks.items("competition", MADE / "competition")] == ["24", "4"]
    assert one("competition").problem.meta["split"] == "aime_made"


def test_prm800k_made():
    chosen, ended, written = benchmarks.items("prm800k", MADE / "prm800k")
    assert chosen.solutions[0].steps == ("First 3 * 4 = 12.", "Then 12 + 2 = 14.")
    assert chosen.solutions[0].first_error == -1
    assert chosen.problem.meta["alternatives"] == [[1, "Then 2 + 12 = 15.", -1]]
    assert ended.solutions[0].ratings == (0.0, -1.0) and ended.solutions[0].first_error == 1
    assert written.solutions[0].steps == ("It is 3.",) and written.solutions[0].ratings == (1.0,)


def test_omegaprm_made():
    (train,) = benchmarks.items("omegaprm", MADE / "omegaprm", "train")
    assert [(s.text, s.ratings) for s in train.solutions] == [("1 + 1 = 2.", (1.0,))]
    (tree,) = benchmarks.items("omegaprm", MADE / "omegaprm", "trees")
    assert [s.text for s in tree.solutions] == ["It is 2.", "It is 3.", "It is 3. So 3."]
    assert tree.solutions[1].ratings == (0.0,) and math.isnan(tree.solutions[2].ratings[0])


def test_first_errors_are_counted_from_0_whatever_the_set_does():
    assert [i.solutions[0].first_error for i in benchmarks.items("bigbench_mistake", MADE / "bigbench_mistake")] == [
        -1,
        0,
    ]
    wrong, right = benchmarks.items("mr_gsm8k", MADE / "mr_gsm8k")
    assert (wrong.solutions[0].first_error, right.solutions[0].first_error) == (0, -1)
    assert wrong.solutions[0].critiques[0].text == "It adds." and right.solutions[0].critiques[0].text == ""
    planted = one("prmbench")
    assert planted.solutions[0].first_error == 1 and planted.solutions[0].ratings == (1.0, 0.0)
    assert planted.problem.meta["out_of_range"] == [5]


def test_math_shepherd_labels():
    items = list(benchmarks.items("math_shepherd", FIXTURES / "math_shepherd"))
    first = items[0].solutions[0]
    assert len(first.steps) == 5 and first.answer == "13520" and set(first.ratings) <= {0.0, 1.0}
    assert items[1].solutions[0].first_error == 0 and items[1].solutions[0].correct is False


def test_puzzles_are_checked_exactly():
    game = next(benchmarks.items("game24", FIXTURES / "game24"))  # 1 1 4 6
    for answer, right in (
        ("(1 + 1 - 1) * 4 * 6", False),
        ("1 * 1 * 4 * 6", True),
        ("4 * 6", False),
        ("1*1*4*6 = 24", True),
    ):
        assert benchmarks.check(game.problem, answer) is right, answer
    assert not benchmarks.check(game.problem, "__import__('os').system('true')") and not benchmarks.check(
        game.problem, None
    )
    for item in benchmarks.items("countdown_puzzles", FIXTURES / "countdown_puzzles"):
        assert benchmarks.check(item.problem, item.solutions[0].answer)
        assert not benchmarks.check(item.problem, item.solutions[0].answer + " + 1")


# bad input

ROW = {"question": "What is 1 + 1?", "answer": "1 + 1 = 2\n#### 2"}


def jsonl(tmp_path, *rows, name="test.jsonl"):
    (tmp_path / name).write_text("".join(r if isinstance(r, str) else json.dumps(r) + "\n" for r in rows))
    return tmp_path


def refused(folder, name="gsm8k", split=None):
    with pytest.raises(UserError) as e:
        list(benchmarks.items(name, folder, split))
    return str(e.value)


def test_bad_input_is_named(tmp_path):
    said = refused(jsonl(tmp_path, ROW, {"question": "?", "anser": "#### 1"}))
    assert "test.jsonl, row 2: no field 'answer'; did you mean 'anser'?" in said and "question, anser" in said
    said = refused(jsonl(tmp_path, ROW, ROW | {"answer": "  "}))
    assert "row 2, field 'answer': it is empty" in said
    said = refused(jsonl(tmp_path, ROW | {"question": ["?"]}))
    assert "field 'question': a list where a text should be" in said
    said = refused(jsonl(tmp_path, ROW | {"question": "x" * 300_000}))
    assert "a text of 300000 characters; allowed: 200000 characters at most" in said
    said = refused(jsonl(tmp_path, ROW, json.dumps(ROW)[:20]))
    assert "row 2: not JSON" in said and "break off" in said
    assert "row 1: a list where a record should be" in refused(jsonl(tmp_path, "[1]\n"))
    assert "no record in it" in refused(jsonl(tmp_path, ""))
    (tmp_path / "test.jsonl").write_bytes(
        json.dumps(ROW).encode() + b"\n" + '{"question": "é"}'.encode("latin1") + b"\n"
    )
    said = refused(tmp_path)
    assert "row 2: byte 15 (b'\\xe9') is not UTF-8" in said and "iconv" in said
    assert "no split 'tset' here; did you mean 'test'?" in refused(jsonl(tmp_path, ROW), split="tset")
    assert "nothing of it" in refused(tmp_path / "..", "svamp")
    assert "no folder" in refused(tmp_path / "none")
    with pytest.raises(UserError, match="unknown data set 'gsmk'; did you mean 'gsm8k'"):
        benchmarks.load("gsmk")


def test_bad_answers_are_named(tmp_path):
    row = {"Problem": "?", "Answer": "<b>3</b>"}
    assert "markup '<b>' in a reference answer" in refused(jsonl(tmp_path, row), "competition")
    assert "markup '&lt;'" in refused(jsonl(tmp_path, row | {"Answer": "x &lt; 3"}), "competition")
    assert "U+FFFD" in refused(jsonl(tmp_path, row | {"Answer": "3\ufffd"}), "competition")
    assert len(list(benchmarks.items("competition", jsonl(tmp_path, row | {"Answer": "x < 3"})))) == 1


def test_duplicate_ids_are_named(tmp_path):
    row = {"ID": "a", "Problem": "?", "Answer": 1}
    said = refused(jsonl(tmp_path, row, row | {"ID": "b"}, row), "competition")
    assert "test.jsonl, row 3: the id of row 1" in said and "one of 1 duplicates" in said


def test_labels_out_of_range_are_named(tmp_path):
    row = json.loads((FIXTURES / "processbench/gsm8k.json").read_text())[0]
    for change, says in (
        ({"label": 99}, "field 'label': 99, and there are"),
        ({"label": "two"}, "field 'label': 'two'; allowed: a whole number from -1"),
        ({"label": -1, "final_answer_correct": False}, "although the final answer is wrong"),
        ({"final_answer_correct": "maybe"}, "'maybe'; allowed: true or false"),
        ({"steps": "one"}, "a text where a list of texts should be"),
    ):
        (tmp_path / "gsm8k.json").write_text(json.dumps([row | change]))
        assert says in refused(tmp_path, "processbench")


def test_broken_files_of_every_kind(tmp_path):
    whole = (FIXTURES / "game24/24.csv").read_text()
    (tmp_path / "24.csv").write_text(whole[:-30])
    assert "fields where the header names 6: a row is cut off" in refused(tmp_path, "game24")
    (tmp_path / "SVAMP.json").write_text((FIXTURES / "svamp/SVAMP.json").read_text()[:-9])
    assert "not JSON, or it breaks off" in refused(tmp_path, "svamp")
    packed = gzip.compress(b"".join((json.dumps(ROW) + "\n").encode() for _ in range(9)))
    (tmp_path / "HumanEval.jsonl.gz").write_bytes(packed[:-20])
    assert "breaks off or is damaged" in refused(tmp_path, "humaneval")
    (tmp_path / "test.parquet").write_bytes((FIXTURES / "countdown_puzzles/test.parquet").read_bytes()[:-100])
    assert "not a readable Parquet file" in refused(tmp_path, "countdown_puzzles")
    jsonl(tmp_path, {"question": {}, "label": {"steps": [{"completions": [{}]}]}}, name="phase1_test.jsonl")
    assert "row 1: not a record of PRM800K (KeyError" in refused(tmp_path, "prm800k")
    with pytest.raises(UserError, match=r"allowed: \.jsonl"):
        list(records.read(tmp_path / "a.xml"))


def test_seen_tells_rows_of_several_files_apart():
    seen = benchmarks.Seen()
    for file, row, key in (("a", 1, "x"), ("a", 2, "y"), ("b", 1, "z"), ("b", 2, "y")):
        seen.add(key, Path(file), row)
    with pytest.raises(UserError, match="b, row 2: the id of row 2 of a occurs again"):
        seen.check()


# the cache and the commands


@pytest.fixture
def command(tmp_path, monkeypatch):
    (tmp_path / "workflow").mkdir()
    (tmp_path / "params.yaml").write_text("")
    monkeypatch.chdir(tmp_path)

    def run(*args):
        found = CliRunner().invoke(main, ["data", *map(str, args)])
        if found.exception and not isinstance(found.exception, SystemExit):
            raise found.exception
        return found.exit_code, found.output

    return run


def test_get_writes_tables_once(command, tmp_path):
    code, said = command("get", "processbench", "--from", FIXTURES / "processbench")
    assert code == 0 and "processbench gsm8k: 20 items of the official 400" in said
    assert "warning: do not publish its items: the subset math is derived from MATH" in said
    (folder,) = (tmp_path / store.FOLDER / "processbench" / "gsm8k").iterdir()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["rows"] == {"problems": 20, "solutions": 20, "critiques": 0}
    problems, solutions = (pq.read_table(folder / f"{t}.parquet").to_pylist() for t in ("problems", "solutions"))
    assert problems[0]["problem_id"] == solutions[0]["problem_id"] and solutions[0]["first_error"] >= 0
    before = (folder / "problems.parquet").stat().st_mtime_ns
    assert command("get", "processbench", "--from", FIXTURES / "processbench")[0] == 0
    assert (folder / "problems.parquet").stat().st_mtime_ns == before


def test_critiques_are_kept(command, tmp_path):
    assert command("get", "metacritique", "--from", FIXTURES / "metacritique")[0] == 0
    (table,) = (tmp_path / store.FOLDER).glob("metacritique/test/*/critiques.parquet")
    rows = pq.read_table(table).to_pylist()
    assert len(rows) == 60 and json.loads(rows[0]["labels"])["precision"]


def test_nothing_half_loaded_is_kept(command, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    jsonl(folder, *[ROW] * 5000, "{")
    code, said = command("get", "gsm8k", "--from", folder)
    assert code == 1 and said.startswith("elenchus: ") and "row 5001" in said and len(said.splitlines()) == 1
    left = [p for p in (tmp_path / "results").rglob("*") if p.is_file()]
    assert left == []


def test_check_and_list(command, tmp_path):
    code, said = command("check", "svamp", "--from", FIXTURES / "svamp")
    assert code == 1 and "20 items of the official 1000" in said and "not the bytes of the known release" in said
    assert command("check", "math", "--from", MADE / "math")[0] == 1
    code, said = command("check", "mr_gsm8k", "--from", MADE / "mr_gsm8k")
    assert code == 0 and said == "mr_gsm8k test: 2 items\n"
    code, said = command("list")
    assert code == 0 and all(name in said for name in benchmarks.names())
    assert "restricted: the publisher" in command("list", "math")[1]
    assert set(json.loads(command("list", "--json")[1])) == set(benchmarks.names())
    assert "name one source" in command("get", "gsm8k", "--from", MADE, "--revision", "0" * 40)[1]
    assert "name the folder" in command("check", "gsm8k")[1]


@needs_real
def test_check_of_whole_files(command):
    code, said = command("check", "gsm8k", "--from", REAL / "gsm8k")
    assert code == 0 and "gsm8k test: 1319 items; the bytes of the known release" in said


def test_files_of_ones_own(command, tmp_path):
    (tmp_path / "mine.csv").write_text('nr,q,a,opts\n1,"1 + 1, what?",2,x\n2,?,3,y\n')
    code, said = command(
        "get", "mine", "--from", "mine.csv", "--field", "prompt=q", "--field", "answer=a", "--field", "id=nr"
    )
    assert code == 0 and "mine all: 2 items" in said
    code, said = command("get", "mine", "--from", "mine.csv", "--field", "prompt=q")
    assert code == 1 and "no field for answer" in said
    code, said = command("get", "mine", "--from", "mine.csv", "--field", "promt=q")
    assert code == 1 and "did you mean 'prompt'?" in said
    code, said = command("get", "mine", "--from", "mine.csv", "--field", "prompt=q", "--field", "answer=b")
    assert code == 1 and "row 1: no field 'b'" in said
    rows = [
        {"q": "?", "a": "1", "s": "so 1", "ok": True, "e": -1},
        {"q": "!", "a": "2", "s": "so 3", "ok": False, "e": 0},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "mine.parquet")
    fields = mapped.mapping(("prompt=q", "answer=a", "solution=s", "correct=ok", "first_error=e"))
    module = mapped.source("own", tmp_path / "mine.parquet", fields)
    items = list(benchmarks.split_items(module, "all", [tmp_path / "mine.parquet"]))
    assert [(i.solutions[0].correct, i.solutions[0].first_error) for i in items] == [(True, -1), (False, 0)]


def test_only_pinned_revisions_of_sets_on_the_hub_are_fetched(tmp_path):
    with pytest.raises(UserError, match=r"revision 'main' is not pinned.*\n  git ls-remote"):
        fetch.data_set("gsm8k", tmp_path, print, revision="main")
    with pytest.raises(UserError, match="not on the hub"):
        fetch.data_set("math", tmp_path, print, revision="0" * 40)


def test_every_card_is_complete():
    for name in benchmarks.names():
        c = benchmarks.load(name).CARD
        assert isinstance(c, card.Card) and c.title and c.source.startswith("https://") and c.licence and c.splits
        assert set(c.rows) <= set(c.splits), name


def test_memory_stays_small_while_streaming(tmp_path):
    """Thirty MB of records are read in a process that may grow by less than that."""
    line = json.dumps(ROW | {"question": "x" * 1000}) + "\n"
    (tmp_path / "train.jsonl").write_text(line * 30_000)
    code = (
        "import resource, sys; from pathlib import Path; from elenchus import benchmarks\n"
        "import numpy, elenchus.answers\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"n = sum(1 for _ in benchmarks.items('gsm8k', Path({str(tmp_path)!r})))\n"
        "print(n, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    n, grown = map(int, done.stdout.split())
    assert n == 30_000 and grown < 15_000  # KiB
