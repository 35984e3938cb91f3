"""`elenchus new <id>`: a new paper's recipe, its section of params.yaml, its small end-to-end sizes, its test, its page.

What is written runs as it stands: rejection sampling against plain sampling at a lower temperature. Change it into the paper.
"""

from __future__ import annotations

import re
from pathlib import Path

from elenchus.errors import UserError

RECIPE = '''"""{title}"""

from pydantic import Field

from elenchus.config import RecipeParams, knobs
from elenchus.recipes import recipe


class Params(RecipeParams):
    """{title}: which knobs it has."""

    rounds: int = Field(2, ge=1, description="self-training rounds (paper: say where the value stands)")
    samples: int = Field(8, ge=1, description="solutions per training problem (paper: ...)")
    sft: knobs("sft") = Field(default_factory=knobs("sft"), description="training of a round")


@recipe(title="{title}", arxiv="{arxiv}", arms=("method", "baseline"))
def {id}(lab, p):
    """The idea in five sentences. This is what stands until you change it: a policy trains on those of its own
    solutions whose answer is right. The baseline trains on all of them. Everything else is equal.
    Say here what the paper adds to that.

    Departures
    1. What differs from the paper, and why; a line for each published value that the laptop scale changes.
    """
    train, validation, test = lab.problems("train"), lab.problems("validation"), lab.problems("test")
    lab.disjoint(train, validation, test)
    for arm in lab.arms("method", "baseline"):
        policy = lab.seed_model()
        for _ in lab.rounds(p.rounds):
            pool = lab.sample(policy, train, n=p.samples)
            threshold = 0.0 if arm == "method" else -1.0  # the reward is 1 for a right answer, and has to be above
            kept = lab.select(pool, train, threshold=threshold, dedup=False)
            policy = lab.sft(policy, [kept], name="policy", **p.sft)
            lab.measure(lab.evaluate("policy", test, solutions=lab.sample(policy, test, n=8, name="test-solutions")))
    last = p.rounds
    lab.claim(
        "training on right solutions alone beats training on all",
        paper="say the value, the setting and the table",
        metric="pass@1",
        better=lab.at("method", round=last),
        than=lab.at("baseline", round=last),
    )
'''

SECTION = """
{id}:
  rounds: 2                    # self-training rounds
  samples: 8                   # solutions per training problem
  sft: {{steps: 40, batch: 32, learning_rate: 3.0e-4}}
"""

CLUSTER = """  # {id}:                        # the paper's own values, which a test asks for: fill in, and uncomment
  #   base_model: {{name: owner/model}}   # `elenchus fetch {id} --pin` writes its commit
  #   rounds: 2
  #   samples: 64
"""

TINY = """{id}: {{rounds: 1, samples: 2, sft: {{steps: 2}}}}
"""

TEST = '''"""{title}: the paper's formulas on values worked out by hand, and what its arms have in common."""

from __future__ import annotations

from pathlib import Path

from elenchus import plan

ROOT = Path(__file__).parents[2]


def test_both_arms_start_from_one_model_and_sample_one_pool():
    recipe = plan.load(ROOT).recipe("{id}")
    first = {{n.arm: n.stage.digest for n in recipe.named if n.name == "solutions" and n.round == 1}}
    assert set(first) == {{"method", "baseline"}} and len(set(first.values())) == 1
    assert [c.metric for c in recipe.claims] == ["pass@1"]
'''


def write(root: Path, name: str, title: str, arxiv: str) -> list[Path]:
    """Write a new recipe's files; return them. UserError where the name will not do or something of it is there already."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        near = re.sub(r"\W+", "_", name.lower()).strip("_") or "my_paper"
        raise UserError(
            f"{name!r} cannot name a recipe: small letters, digits and underscores, a letter first; try {near!r}"
        )
    if '"' in title or "\\" in title:
        raise UserError(f"--title {title!r}: no quotes and no backslashes, please: it stands in Python text")
    words = {"id": name, "title": title, "arxiv": arxiv}
    files = {
        root / f"workflow/recipes/{name}.py": RECIPE,
        root / f"tests/unit/test_{name}.py": TEST,
        root / f"tests/workflow/tiny/{name}.yaml": TINY,
    }
    params = root / "params.yaml"
    text = params.read_text()
    for path in files:
        if path.exists():
            raise UserError(f"{path.relative_to(root)} exists already; nothing was written")
    if re.search(rf"^{name}:", text, flags=re.M):
        raise UserError(f"params.yaml has a section {name!r} already; nothing was written")
    for path, template in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(template.format(**words))
    before, mark, after = text.partition("\ncluster:")
    if mark:
        section = re.match(r".*\n(?:(?:\n)*[ #].*\n)*", after.rstrip("\n") + "\n")[0]  # to the next key at the margin
        mark += section + CLUSTER.format(**words)
        after = after[len(section) :]
    params.write_text(before.rstrip("\n") + "\n" + SECTION.format(**words) + mark + after)
    return [*files, params]
