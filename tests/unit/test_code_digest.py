"""What counts as code, and what does not."""

import textwrap

import pytest

from elenchus import code_digest

FILES = {
    "__init__.py": "",
    "kind.py": '''
        """A kind."""
        from pkg import helpers
        from pkg.direct import used

        class Params:
            size: int = 3

        def run(job: "Job") -> None:
            """Run it."""
            return helpers.reached(job) + used()

        def estimate(params):
            return helpers.unreached()
    ''',
    "helpers.py": """
        LIMIT = 5

        def reached(x):
            return inner(x) + LIMIT

        def inner(x):
            from pkg.late import deep
            return deep(x)  # a comment

        def unreached():
            return 1
    """,
    "direct.py": "from pkg.origin import used\n",
    "origin.py": "def used():\n    return 2\n\ndef other():\n    return 3\n",
    "late.py": "def deep(x):\n    return x\n",
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package `pkg` on disk; returns digest(), which reads it afresh, and edit(file, old, new)."""
    monkeypatch.setattr(code_digest, "PACKAGE", "pkg")
    monkeypatch.setattr(code_digest, "ROOT", tmp_path)
    for name, text in FILES.items():
        (tmp_path / name).write_text(textwrap.dedent(text))

    def digest():
        forget()
        return code_digest.code_digest("pkg.kind", ("run", "Params"))

    def edit(name, old, new):
        text = (tmp_path / name).read_text()
        assert old in text
        (tmp_path / name).write_text(text.replace(old, new))

    yield digest, edit
    forget()


def forget():
    """Forget what this process knows; what is kept on disk stays, as it does from one process to the next."""
    for f in vars(code_digest).values():
        if hasattr(f, "cache_clear"):
            f.cache_clear()


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("kind.py", '"""Run it."""', '"""Run it, otherwise described."""'),
        ("kind.py", 'job: "Job"', "job"),
        ("helpers.py", "# a comment", "# another"),
        ("helpers.py", "return inner(x) + LIMIT", "return (inner(x)\n            + LIMIT)"),
        ("helpers.py", "return 1", "return 100"),
        ("origin.py", "return 3", "return 4"),
        ("kind.py", "return helpers.unreached()", "return 7"),
    ],
)
def test_edits_that_cannot_change_a_result_keep_the_digest(package, name, old, new):
    digest, edit = package
    before = digest()
    edit(name, old, new)
    assert digest() == before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("kind.py", "+ used()", "- used()"),
        ("kind.py", "size: int = 3", "size: int = 4"),
        ("helpers.py", "LIMIT = 5", "LIMIT = 6"),
        ("helpers.py", "return deep(x)", "return deep(x) + 1"),
        ("late.py", "return x", "return -x"),  # imported inside a function
        ("origin.py", "return 2", "return 5"),  # imported through another module
        ("helpers.py", "LIMIT = 5", "LIMIT = 5\nprint(LIMIT)"),  # a loose statement of a module that is reached
    ],
)
def test_edits_that_can_change_a_result_change_the_digest(package, name, old, new):
    digest, edit = package
    before = digest()
    edit(name, old, new)
    assert digest() != before


def test_a_mentioned_module_counts_whole(package):
    digest, edit = package
    edit("kind.py", "return helpers.reached(job) + used()", "return job(helpers)")
    before = digest()
    edit("helpers.py", "return 1", "return 100")
    assert digest() != before
