"""A pipeline in a file of its own: how it is named, what it may import, and that each mistake is told by its line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.errors import Refused
from app.pipelines import PIPELINES, lasting, models_beside, own, pipeline_named, pipelines_of
from app.pipelines.fraud import FRAUD

GOOD = """from dataclasses import replace

from app.pipelines.fraud import FRAUD

pipeline = replace(FRAUD, name="mine")
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory; what is imported from it, and that it is looked into, is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in set(sys.modules) - before:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


def refused(name: str) -> str:
    with pytest.raises(Refused) as refusal:
        pipeline_named(name)
    assert refusal.value.exit_code == 2
    said = str(refusal.value)
    assert said.endswith((".", "?")), said
    assert "\n" not in said
    return said


def refused_file(text: str, **others: str) -> str:
    for name, other in others.items():
        Path(f"{name}.py").write_text(other)
    Path("mine.py").write_text(text)
    return refused("mine.py:pipeline")


# -- names -------------------------------------------------------------------------------------------------------------


def test_a_pipeline_is_found_in_a_file_by_its_variable(folder: Path) -> None:
    Path("mine.py").write_text(GOOD)

    for name in ("mine.py:pipeline", "./mine.py:pipeline", f"{folder}/mine.py:pipeline"):
        assert pipeline_named(name).name == "mine"
    assert pipelines_of("mine.py:pipeline") == {"mine": pipeline_named("mine.py:pipeline")}


def test_a_name_without_a_file_is_one_of_this_project() -> None:
    assert pipeline_named("fraud") is FRAUD
    assert pipelines_of(None) is PIPELINES
    assert lasting("fraud") == "fraud"
    assert models_beside("fraud") is None


def test_a_reference_that_lasts_is_found_from_any_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("mine.py").write_text(GOOD)
    lasts = lasting("mine.py:pipeline")
    monkeypatch.chdir("/")

    assert lasts == f"{folder}/mine.py:pipeline"
    assert pipeline_named(lasts).name == "mine"


def test_the_models_beside_a_file_are_its_own(folder: Path) -> None:
    Path("mine.py").write_text(GOOD)
    assert models_beside("mine.py:pipeline") is None
    Path("models").mkdir()
    assert models_beside("mine.py:pipeline") == folder / "models"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nothing.py:pipeline", "There is no file nothing.py."),
        ("mine.py", "Say which pipeline of mine.py is meant: mine.py:pipeline."),
        ("mine.py:", "Say which pipeline of mine.py is meant: mine.py:pipeline or mine.py:other."),
        ("mine.py:nothing", "mine.py has no nothing; say mine.py:pipeline or mine.py:other."),
        ("mine.txt:pipeline", "'mine.txt:pipeline' names no pipeline: say path/to/file.py:variable."),
        (":", "':' names no pipeline: say path/to/file.py:variable."),
        ("fraudd", "One of your own is named by its file: path/to/file.py:variable."),
    ],
)
def test_a_name_that_names_nothing_is_answered_with_what_there_is(name: str, said: str) -> None:
    text = "from app.pipelines.fraud import FRAUD\nPipeline = lambda **_: FRAUD\npipeline = Pipeline()\n"
    Path("mine.py").write_text(text + ("other = Pipeline()\n" if "or" in said and "mine.py:other" in said else ""))

    assert said in refused(name)


# -- what is declared wrongly ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\ny = (\n", "mine.py:2: this is no Python ('(' was never closed); mend the line."),
        ("\n  x = 1\n", "mine.py:2: this is no Python (unexpected indent); mend the line."),
        ("x = '\0'\n", "this is no Python (source code string cannot contain null bytes); mend the line."),
        (
            "\nimport no_such_thing\n",
            "mine.py:2: No module named 'no_such_thing'; install it, or put it beside the file.",
        ),
        ("from app import Pipelin\n", "mine.py:1: cannot import name 'Pipelin' from 'app'; did you mean Pipeline?"),
        ("from app import Qqqq\n", "mine.py:1: cannot import name 'Qqqq' from 'app'; import what there is."),
        ("\n\n1 / 0\n", "mine.py:3: this line fails with ZeroDivisionError: division by zero; mend it."),
        ("def f():\n    raise KeyError\n\nf()\n", "mine.py:2: this line fails with KeyError; mend it."),
        ("import sys\nsys.exit('done')\n", "mine.py:2: this line fails with SystemExit: done; mend it."),
        ("raise ValueError('a\\nb')\n", "mine.py:1: this line fails with ValueError: a; mend it."),
        ("x = 1\n", "mine.py has no pipeline; say mine.py:VARIABLE, where VARIABLE = Pipeline(...)."),
        ("x = 1\npipeline = {}\n", "mine.py:2: pipeline is of type dict and no Pipeline; say mine.py:VARIABLE,"),
        ("from app import Pipeline as pipeline\n", "mine.py: pipeline is of type type and no Pipeline;"),
        (
            GOOD.replace('name="mine"', 'name="My Own"'),
            "mine.py:5: The name 'My Own' must be lower-case letters, digits and dashes.",
        ),
        (
            "from app import Lookup\n"
            + GOOD.replace(')\n', ', lookups=(Lookup("x", key="shop_id", fields=()),))\n'),
            "mine.py:6: The pipeline mine needs the field 'shop_id' of payments, whose contract has payment_id,",
        ),
        (
            "from app import Window\nw = Window('customer', amount='x', spans_ms={})\n",
            "mine.py:2: The window customer needs at least one span",
        ),
        ("from pydantic import BaseModel\nclass X(BaseModel):\n    x: object()\n", "mine.py:2: this line fails with "),
    ],
)  # fmt: skip
def test_what_is_declared_wrongly_is_one_sentence_with_its_line(text: str, said: str) -> None:
    assert said in refused_file(text)


def test_a_mistake_in_a_file_beside_it_is_told_by_the_line_there() -> None:
    assert refused_file("import beside\n", beside="x = (\n").startswith("beside.py:1: this is no Python")
    assert refused_file("import beside2\n", beside2="\n1 / 0\n").startswith("beside2.py:2: this line fails with Zero")


def test_a_mistake_inside_a_library_is_told_by_the_line_that_called_it(folder: Path) -> None:
    library = folder / ".venv" / "lib" / "site-packages"
    library.mkdir(parents=True)
    (library / "somelib.py").write_text("def f():\n    raise OSError('away')\n")
    text = f"import sys\nsys.path.append({str(library)!r})\nimport somelib\nsomelib.f()\n"

    assert refused_file(text) == "mine.py:4: this line fails with OSError: away; mend it."


def test_ctrl_c_while_a_file_runs_is_no_mistake_of_the_file() -> None:
    Path("mine.py").write_text("raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        pipeline_named("mine.py:pipeline")


def test_a_file_that_was_refused_may_be_mended_and_named_again() -> None:
    assert "ZeroDivision" in refused_file("1 / 0\n")
    Path("mine.py").write_text(GOOD + "# longer, so that no cached bytecode is taken for it\n")
    assert pipeline_named("mine.py:pipeline").name == "mine"


# -- what a file may do ------------------------------------------------------------------------------------------------


def test_two_files_may_each_have_a_module_of_the_same_name_beside_them() -> None:
    text = GOOD.replace('"mine"', "beside_name.NAME").replace(
        "from dataclasses", "import beside_name\nfrom dataclasses"
    )
    for name in ("one", "two"):
        Path(name).mkdir()
        (Path(name) / "pipeline.py").write_text(text)
        (Path(name) / "beside_name.py").write_text(f"NAME = {name!r}\n")

    assert [pipeline_named(f"{name}/pipeline.py:pipeline").name for name in ("one", "two", "one")] == [
        "one",
        "two",
        "one",
    ]


def test_a_file_is_run_once() -> None:
    Path("mine.py").write_text(GOOD)
    assert pipeline_named("mine.py:pipeline") is pipeline_named("./mine.py:pipeline")


def test_what_a_file_prints_is_not_the_answer_of_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.py").write_text(f"print('hello')\n{GOOD}")
    pipeline_named("mine.py:pipeline")

    assert capsys.readouterr() == ("", "hello\n")


def test_a_file_does_not_hide_the_modules_of_this_project(folder: Path) -> None:
    """Run from a folder that has this project in it: its modules are imported once all the same."""
    assert not own._is_theirs(str(own.APP / "pipeline.py"), own.APP.parent)
    assert own._is_theirs(str(folder / "x.py"), folder)


def test_the_words_that_a_file_needs_come_from_app() -> None:
    import app
    from app.features.lookups import Lookup
    from app.pipeline import Pipeline

    assert {name: getattr(app, name) for name in app.__all__}.keys() <= set(dir(app))
    assert (app.Pipeline, app.Lookup) == (Pipeline, Lookup)
    with pytest.raises(AttributeError, match="'app' has no attribute 'nonsense'"):
        _ = app.nonsense
