"""The records of a recipe: the page in a real browser, the links, the metrics, the published data."""

import csv
import json
import os
import re
import shutil
import subprocess
from itertools import pairwise

import pytest

from elenchus import findings, plan, records, report, views

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
]


@pytest.fixture(scope="module")
def page(done):
    """The small recipe's page as text."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(done.root)
        return report.render(done, done.recipe("small"))


def browse(page, folder, *, width=1280, script="", dark=False):
    """Return the page's DOM after its scripts and then `script` ran, and what the browser logged."""
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine; apt-get install -y chromium")
    path = folder / "page.html"
    # A frame of the wanted width: headless windows have a least width of their own.
    probe = f"<script>addEventListener('load', () => {{ {script} }});</script>"
    path.write_text(page.replace("</body>", probe + "</body>"))
    frame = folder / "frame.html"
    frame.write_text(
        f'<body style="margin:0"><iframe id="f" src="page.html" width="{width}" height="4000"></iframe></body>'
    )
    flags = [*FLAGS, f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr", "--virtual-time-budget=4000"]
    flags += ["--blink-settings=preferredColorScheme=0"] if dark else []
    target = frame if width < 500 else path
    command = [
        CHROMIUM,
        *flags,
        f"--window-size={max(width, 500)},4000",
        "--allow-file-access-from-files",
        "--dump-dom",
        target.as_uri(),
    ]
    said = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return said.stdout, [line for line in said.stderr.splitlines() if "CONSOLE" in line]


def test_the_page_stands_alone(page):
    """No style, script, font or picture from elsewhere: links to the paper are the only addresses."""
    addresses = set(re.findall(r"https?://[^\s\"'<>)]+", page))
    assert addresses == {"https://arxiv.org/abs/2412.17256", "http://www.w3.org/2000/svg"}
    assert not re.search(r"<(link|script|img|iframe)[^>]+(src|href)=(?!\"data:)", page)
    assert "<title>small" in page and "Small: a critic &lt;and&gt; two policies" in page


def test_the_page_shows_the_numbers_of_the_results(page, done):
    recipe = done.recipe("small")
    for c in findings.comparisons(done, recipe):
        assert findings.difference(c) in page and c["name"] in page
    for m in findings.pooled(done, recipe):
        if m["metric"] == "first_error_f1":
            assert report.charts.number(m["value"]) in page
    for part in (
        "Search tree",
        "A search tree",
        "Chosen settings",
        "What it cost",
        "Models are numbers.",
        "Where it starts",
    ):
        assert part.lower() in page.lower()
    for stage in recipe.stages:
        assert stage.digest in page


def test_the_same_results_give_the_same_page(page, done, monkeypatch):
    monkeypatch.chdir(done.root)
    assert report.render(plan.load(done.root), plan.load(done.root).recipe("small")) == page


def test_the_browser_of_examples_works_by_keyboard_and_filters(page, done, tmp_path):
    script = """
      const rows = () => [...document.querySelectorAll('#list > div')];
      const out = {all: rows().length};
      const list = document.getElementById('list');
      list.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowDown', bubbles: true, cancelable: true}));
      out.second = rows()[1].getAttribute('aria-selected');
      list.dispatchEvent(new KeyboardEvent('keydown', {key: 'End', bubbles: true, cancelable: true}));
      out.last = rows().at(-1).getAttribute('aria-selected');
      const pick = (id, value) => { const s = document.getElementById(id); s.value = value; s.dispatchEvent(new Event('change')); };
      pick('f-outcome', 'wrong'); out.wrong = rows().length;
      pick('f-critic', 'grpo'); pick('f-how', 'mended'); out.mended = rows().length;
      out.columns = [...document.querySelectorAll('#detail thead th')].map((t) => t.textContent);
      out.overflow = document.documentElement.scrollWidth - document.documentElement.clientWidth;
      document.title = JSON.stringify(out);
    """
    dom, console = browse(page, tmp_path, script=script)
    assert console == []
    found = json.loads(re.search(r"<title>(.*?)</title>", dom).group(1))
    items = json.loads(re.search(r'<script id="data"[^>]*>(.*?)</script>', page, re.S).group(1))["items"]
    wrong = [i for i in items if not i["right"]]
    mended = [i for i in wrong if i["critics"].get("grpo", {}).get("refinement", {}).get("right")]
    assert found["all"] == len(items) > 10 and found["second"] == found["last"] == "true"
    assert found["wrong"] == len(wrong) > 0 and found["mended"] == len(mended) > 0
    assert found["columns"] == ["step", "exact", "grpo"] and found["overflow"] == 0


@pytest.mark.parametrize("dark", [False, True])
def test_nothing_overflows_a_narrow_screen_and_colours_follow_the_system(page, tmp_path, dark):
    script = """
      const root = document.documentElement;
      const out = {width: innerWidth, overflow: root.scrollWidth - root.clientWidth};
      out.paper = getComputedStyle(document.body).backgroundColor;
      parent.document.body.dataset.found = JSON.stringify(out);
    """
    dom, console = browse(page, tmp_path, width=390, script=script, dark=dark)
    assert console == []
    found = json.loads(re.search(r'data-found="([^"]*)"', dom).group(1).replace("&quot;", '"'))
    assert found["width"] == 390 and found["overflow"] == 0
    assert (found["paper"] == "rgb(20, 22, 26)") == dark


def test_links_lead_to_results_and_stale_ones_go(copied):
    recipe = copied.recipe("small")
    base = copied.root / "results" / "by-recipe" / "small"
    old = base / "gone" / "seed7" / "policy"
    old.parent.mkdir(parents=True)
    old.symlink_to("../../nowhere")
    views.link(copied.root, recipe)
    assert not os.path.lexists(old) and not (base / "gone").exists()
    links = [p for p in base.rglob("*") if p.is_symlink() and p.name != "report.html"]
    assert not any(os.path.isabs(os.readlink(p)) for p in links)
    assert {p.resolve() for p in links} == {copied.root / n.stage.folder for n in recipe.named} | {
        copied.root / recipe.summary.folder
    }
    policy = next(n for n in recipe.named if (n.name, n.arm, n.seed, n.round) == ("policy", "b_star", 1, 2))
    assert (base / "b_star/seed1/round2/policy").resolve() == copied.root / policy.stage.folder
    measured = next(m for m in recipe.measured if m.subject == "grpo" and m.stage.params["which"] == "critic")
    assert (base / "critic/seed0/evaluation-critic-grpo").resolve() == copied.root / measured.stage.folder
    shutil.move(copied.root, copied.root.with_name("moved"))  # relative links survive
    assert (copied.root.with_name("moved") / "results/by-recipe/small/summary/stage.json").is_file()


def test_views_hold_every_measurement_and_the_same_bytes_twice(copied):
    recipe = copied.recipe("small")
    views.write(copied, recipe)

    def everything():
        return {
            p: p.read_bytes()
            for part in ("results/metrics", "data")
            for p in (copied.root / part).rglob("*")
            if p.is_file()
        }

    once = everything()
    views.write(copied, recipe)
    assert everything() == once and len(once) > 4
    measured = findings.measurements(copied, recipe)
    nested = json.loads((copied.root / "results/metrics/small.json").read_text())
    with (copied.root / "results/metrics/small.csv").open() as f:
        flat = list(csv.DictReader(f))
    assert len(flat) == len(measured)
    for m, row in zip(measured, flat):
        entry = nested[m["arm"]][f"seed{m['seed']}"][f"round{m['round']}"][m["subject"]][m["metric"]]
        assert entry["value"] == m["value"] == float(row["value"]) and row["arm"] == m["arm"]


def test_published_sets_are_the_results_bytes_with_a_card(copied):
    recipe = copied.recipe("small")
    views.publish(copied, recipe)
    folder = copied.root / "data" / "trees"
    stages = {p.seed: p.stage for p in recipe.published if p.name == "trees"}
    for seed, stage in stages.items():
        assert (folder / f"nodes.seed{seed}.parquet").read_bytes() == (
            copied.root / stage.folder / "nodes.parquet"
        ).read_bytes()
    card = (folder / "README.md").read_text()
    for part in (
        "license: apache-2.0",
        "Search trees.",
        stages[0].digest,
        "snakemake small",
        "`visits` | int",
        "Known flaws",
    ):
        assert part in card


def test_a_record_is_made_in_place_and_those_of_other_plans_go(copied, capfd):
    path = copied.recipe("small").record("report")
    other = path.with_name("0" * 16 + ".html")
    (copied.root / path.parent).mkdir(parents=True)
    (copied.root / other).write_text("old")
    assert records.main("report", "small", copied.root / path, {}) == 0
    assert [p.name for p in (copied.root / path.parent).iterdir()] == [path.name]
    view = copied.root / copied.recipe("small").record("view")
    assert records.main("view", "small", view, {}) == 0
    said = capfd.readouterr().err
    for sentence in findings.sentences(copied, copied.recipe("small")):
        assert sentence in said
    assert "mlflow ui --backend-store-uri sqlite:///mlflow.db" in said and "report.html" in said
    assert (copied.root / "results/by-recipe/small/report.html").resolve() == copied.root / path


def test_a_record_of_another_plan_is_refused_since_the_plan_changed_under_the_run(copied, capfd):
    path = copied.recipe("small").record("report")
    assert records.main("report", "small", copied.root / path, {"small": {"rounds": 1}}) == 1
    said = capfd.readouterr().err
    assert "Run snakemake again" in said and "Traceback" not in said and not (copied.root / path).exists()


def test_a_damaged_result_is_one_plain_message_and_no_record(copied, capfd):
    stage = next(s for s in copied.recipe("small").stages if s.kind == "evaluate")
    (copied.root / stage.folder / "metrics.parquet").write_bytes(b"PAR1")
    path = copied.root / copied.recipe("small").record("view")
    assert records.main("view", "small", path, {}) == 1
    said = capfd.readouterr().err
    assert f"rm -r {copied.root / stage.folder}" in said and "Traceback" not in said and not path.exists()
    assert not [p for p in path.parent.iterdir() if p.name.startswith(".")]


def test_budgets_count_what_a_method_takes_and_not_what_arms_share(done):
    recipe = done.recipe("small")
    rows = {r["arm"]: r for r in report.costs.by_arm(done, recipe)}
    pools = {
        "b_star": {"balance-pool", "pool", "policy", "scores", "balance-scores"},
        "online_rft": {"pool", "policy", "scores"},
    }
    for arm, names in pools.items():
        spent = 0
        for n in recipe.named:
            if n.arm == arm and n.name in names:
                c = findings.cost(done.root, n.stage)
                spent += c["sampled"] + c["trained"] + c["oracle_calls"]
        assert rows[arm]["budget"] == spent / 2  # a mean over two seeds
    note = report.costs.note(list(rows.values()), ["b_star", "online_rft"])
    assert ("b_star spent" in note) == (rows["b_star"]["budget"] > 1.1 * rows["online_rft"]["budget"])


@pytest.mark.parametrize(
    ("value", "low", "high", "wanted", "outcome"),
    [
        (0.1, 0.02, 0.2, "higher", "better"),
        (0.1, 0.02, 0.2, "lower", "worse"),
        (-0.1, -0.2, -0.02, "higher", "worse"),
        (-0.1, -0.2, -0.02, "lower", "better"),
        (0.1, -0.01, 0.2, "higher", "open"),
        (0.1, 0.0, 0.2, "higher", "open"),
        (0.1, None, None, "higher", "open"),
        (None, None, None, "higher", "open"),
    ],
)
def test_what_an_interval_says(value, low, high, wanted, outcome):
    c = {
        "name": "a against b",
        "metric": "m",
        "value": value,
        "low": low,
        "high": high,
        "wanted": wanted,
        "items": 9,
        "seeds": 1,
    }
    c["outcome"] = findings.outcome(c)
    assert c["outcome"] == outcome
    assert ("zero" in findings.sentence(c)) == (outcome == "open" and value is not None)


def test_ticks_cover_the_range_with_round_numbers():
    for low, high in ((0, 1), (0.62, 0.79), (-3, 40), (0.0001, 0.0007), (1000, 250_000), (0.5, 0.5)):
        found = report.charts.ticks(low, high)
        assert found[0] <= low and found[-1] >= high and 2 <= len(found) <= 8
        steps = {round(b - a, 9) for a, b in pairwise(found)}
        assert len(steps) == 1
