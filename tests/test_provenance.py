"""Whether the code that a step's numbers depend on is all in its hash."""

import ast
from pathlib import Path

import pytest

from aebayes.data import DATASETS
from aebayes.errors import AebayesError
from aebayes.methods import METHODS
from aebayes.provenance import CODE, DATASET, METHOD, PACKAGE, code_of, own_files, processor

# They write, check and report; none of them makes a number.
APART = {"config.py", "errors.py", "files.py", "provenance.py", "data/recipe.py"}


def imported(file: Path) -> set[Path]:
    """The library's modules that a file imports, at its head or within functions."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("aebayes."):
            path = PACKAGE / Path(*node.module.split(".")[1:])
            found.add(path / "__init__.py" if path.is_dir() else path.with_suffix(".py"))
    return found


def reached(start: list[Path]) -> set[Path]:
    """All that is imported from there on; of the methods none, which depends on the experiment."""
    seen, waiting = set(start), list(start)
    while waiting:
        for file in imported(waiting.pop()) - seen:
            if file.parent.name != "methods" or file.stem in ("base", "make"):
                seen.add(file)
                waiting.append(file)
    return seen


def covered(step: str, method: str) -> set[Path]:
    """The files that the step's hash is of."""
    files = set(own_files(METHOD, method))
    for part in set(CODE[step]) - {METHOD}:
        files |= set((PACKAGE / part).rglob("*.py")) if "." not in part else {PACKAGE / part}
    return files


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("step", "module"), [("train", "training"), ("evaluate", "evaluation")])
def test_everything_that_a_step_reaches_is_in_its_hash(step, module, method):
    reach = reached([PACKAGE / module / "run.py", *own_files(METHOD, method)])
    missing = reach - covered(step, method)
    assert {file.relative_to(PACKAGE).as_posix() for file in missing} <= APART


@pytest.mark.parametrize(
    ("method", "also"),
    [
        ("vae", {"base"}),
        ("avb_restricted", {"avb", "base"}),
        ("categorical_aae", {"aae", "base", "classes", "distortion"}),
        ("classifier", {"base", "classes", "distortion"}),
    ],
)
def test_a_methods_code_is_its_own_file_and_those_whose_parts_it_takes(method, also):
    assert {file.stem for file in own_files(METHOD, method)} == {method, *also}


@pytest.mark.parametrize("dataset", DATASETS)
def test_everything_that_makes_a_dataset_is_in_its_hash(dataset):
    own = own_files(DATASET, DATASETS[dataset].module)
    start = PACKAGE / "data" / "prepare.py"
    reach = reached([start, *own]) - {PACKAGE / "data" / "__init__.py"}
    others = {PACKAGE / DATASET.format(recipe.module) for recipe in DATASETS.values()} - set(own)
    missing = reach - {start, *own} - others
    apart = APART | {"records.py", "data/fetch.py", "data/dataset.py"}
    assert {file.relative_to(PACKAGE).as_posix() for file in missing} <= apart


def test_a_dataset_is_not_made_anew_for_another_ones_code():
    assert {file.stem for file in own_files(DATASET, "mnist")} == {
        *("mnist", "idx", "recipe", "splits")
    }
    assert code_of("prepare", "mnist") != code_of("prepare", "svhn")


def test_docstrings_are_not_in_the_hash(monkeypatch, tmp_path):
    package = tmp_path / "aebayes"
    for name, text in {
        "files.py": '"""One."""\nx = 1\n',
        "labels.py": "",
        "tables/a.py": "",
    }.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr("aebayes.provenance.PACKAGE", package)
    before = code_of("table")
    (package / "files.py").write_text('"""Two, with a comment."""\nx = 1  # why\n')
    assert code_of("table") == before
    (package / "files.py").write_text('"""One."""\nx = 2\n')
    assert code_of("table") != before


def test_method_without_a_file_of_its_name_is_named():
    with pytest.raises(AebayesError, match=r"methods/nobody\.py is missing"):
        code_of("train", "nobody")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "cpu family\t: 25\nmodel\t\t: 1\nmodel name\t: AMD EPYC\n\nmodel\t: 2\n",
            "AMD EPYC, cpu family 25, model 1",
        ),
        ("model name\t: Some: CPU\n", "Some: CPU"),
        ("processor\t: 0\n", "as the platform says"),
    ],
)
def test_processors_of_one_name_are_told_apart_by_their_numbers(monkeypatch, text, expected):
    monkeypatch.setattr(Path, "read_text", lambda _: text)
    monkeypatch.setattr("platform.processor", lambda: "as the platform says")
    assert processor() == expected
