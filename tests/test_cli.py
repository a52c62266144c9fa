"""The command line by hand: the same files as the rules, and one clear message for bad input."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
from click.testing import CliRunner

from aebayes.cli import main
from aebayes.config import ROOT

STEPS = ("fetch", "prepare", "train", "evaluate", "table", "figure", "version")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder with the tiny study, to run commands in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AEBAYES_MIRRORS", raising=False)
    tiny.write(tmp_path / "tiny.yaml")
    return tmp_path


def run(*words: str):
    return CliRunner().invoke(main, words)


def refused(*words: str) -> str:
    """What a command prints that must fail: a problem and a remedy, no traceback."""
    done = run(*words)
    assert done.exit_code == 2, done.output
    assert isinstance(done.exception, SystemExit)
    lines = done.output.splitlines()
    problem = next(i for i, line in enumerate(lines) if line.startswith("error: "))
    assert any(line.startswith("remedy: ") for line in lines[problem:])
    return done.output


def test_help_names_every_step():
    output = run("--help").output
    assert all(step in output for step in STEPS)


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory):
    """A folder in which every step but `version` was run by hand."""
    folder = tmp_path_factory.mktemp("by-hand")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        study = ("--study", str(tiny.write(folder / "tiny.yaml")))
        steps = [("fetch", "four_points"), ("prepare", "four_points")]
        for experiment in ("vae-four-points", "avb-four-points", "aae-four-points"):
            steps += [("train", experiment, *study), ("evaluate", experiment, *study)]
        steps += [("table", "avb-table-1", *study), ("figure", "avb-figure-3", *study)]
        for words in steps:
            done = run(*words)
            assert done.exit_code == 0, done.output
    return folder


def test_steps_run_by_hand_make_the_rules_files(by_hand):
    results = by_hand / "results" / "tiny"
    for name in (
        "runs/avb-four-points/checkpoint.safetensors",
        "runs/avb-four-points/history.csv",
        "runs/avb-four-points/training.json",
        "runs/avb-four-points/metrics.json",
        "runs/avb-four-points/arrays.npz",
        "runs/avb-four-points/evaluation.json",
        "tables/avb-table-1.csv",
        "tables/avb-table-1.md",
        "tables/avb-table-1.tex",
        "figures/avb-figure-3.png",
        "figures/avb-figure-3.pdf",
    ):
        assert (results / name).stat().st_size > 0


def test_unknown_names_are_refused_with_the_known_ones(here):
    assert "vae-four-points" in refused("train", "vea", "--study", "tiny.yaml")
    assert "digits" in refused("prepare", "nist")
    assert "avb-table-1" in refused("table", "avb-table-9", "--study", "tiny.yaml")
    assert "avb-figure-3" in refused("figure", "avb-figure-9", "--study", "tiny.yaml")
    assert "pocket" in refused("train", "vae-four-points", "--study", "pokcet")


def test_no_results_are_begun_among_the_results(monkeypatch):
    monkeypatch.chdir(ROOT / "results" / "reference")
    before = sorted(Path.cwd().iterdir())
    output = refused("table", "avb-table-1")
    assert f"cd {ROOT}" in output
    assert sorted(Path.cwd().iterdir()) == before


def test_missing_inputs_are_named(here):
    output = refused("train", "vae-four-points", "--study", "tiny.yaml")
    assert "data/processed/four_points" in output
    assert output.endswith("python -m aebayes prepare four_points\n")
    run("prepare", "four_points")
    output = refused("evaluate", "vae-four-points", "--study", "tiny.yaml")
    assert "checkpoint.safetensors is missing" in output
    assert output.endswith("python -m aebayes train vae-four-points --study tiny.yaml\n")
    tiny.write(here / "own study.yaml")
    output = refused("evaluate", "vae-four-points", "--study", "own study.yaml")
    assert output.endswith("python -m aebayes train vae-four-points --study 'own study.yaml'\n")
    output = refused("audit", "--study", "tiny.yaml")
    assert output.endswith("python -m aebayes manifest --study tiny.yaml --folder results/tiny\n")


def test_fetch_by_hand_asks_the_mirrors_of_the_configuration(here):
    (here / "config").mkdir()
    shipped = (ROOT / "config/config.yaml").read_text()
    (here / "config/config.yaml").write_text(shipped.replace("mirrors: []", "mirrors: [/own]"))
    assert "/own/freyfaces/freyfaces_1965x28x20_uint8.npz" in refused("fetch", "freyfaces")
    output = refused("fetch", "freyfaces", "--mirror", "/another")
    assert "/another/freyfaces" in output and "/own" not in output


@pytest.mark.parametrize("uv", [True, False])
def test_remedies_are_typed_as_the_command_was(here, monkeypatch, uv):
    monkeypatch.delenv("UV", raising=False)
    if uv:
        monkeypatch.setenv("UV", "/bin/uv")  # as `uv run` does
    output = refused("audit", "--study", "tiny.yaml")
    assert output.endswith("python -m aebayes manifest --study tiny.yaml --folder results/tiny\n")
    assert ("uv run python -m aebayes" in output) == uv


def take_too_much(*_: object, **__: object) -> None:
    import torch

    torch.empty(1 << 60)


def take_too_much_of_numpy(*_: object, **__: object) -> None:
    import numpy

    numpy.empty(1 << 50)


@pytest.mark.parametrize("take", [take_too_much, take_too_much_of_numpy])
def test_lack_of_memory_is_named_with_the_experiment(here, monkeypatch, take):
    monkeypatch.setattr("aebayes.training.run.train", take)
    output = refused("train", "vae-four-points", "--study", "tiny.yaml")
    assert "train vae-four-points needs more memory than there is: it tried to allocate" in output


def test_an_error_of_our_own_is_not_taken_for_a_lack_of_memory(here, monkeypatch):
    def wrong(*_: object, **__: object) -> None:
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr("aebayes.training.run.train", wrong)
    done = run("train", "vae-four-points", "--study", "tiny.yaml")
    assert "shapes do not fit" in str(done.exception)


def test_gpu_that_is_not_there_is_refused(here):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    run("prepare", "four_points")
    output = refused("train", "vae-four-points", "--study", "tiny.yaml", "--device", "cuda")
    assert "no GPU" in output


def test_path_that_cannot_be_written_is_named_and_what_was_made_stays(here):
    run("prepare", "four_points")
    made = {path: path.read_bytes() for path in (here / "data").rglob("*.*") if path.is_file()}
    (here / "results").write_text("a file in the way")
    output = refused("train", "vae-four-points", "--study", "tiny.yaml")
    assert "cannot write to results/tiny" in output
    assert {path: path.read_bytes() for path in made} == made


def test_time_limit_has_an_exit_status_of_its_own_and_the_next_start_ends_the_run(here):
    run("prepare", "four_points")
    command = ("train", "vae-four-points", "--study", "tiny.yaml")
    stopped = run(*command, "--time-limit", "0")
    assert stopped.exit_code == 75
    assert "its state is in results/tiny/resume" in stopped.output
    assert run(*command).exit_code == 0
    assert not list((here / "results/tiny/resume").iterdir())


@pytest.mark.parametrize("option", ["--time-limit", "--save-every"])
@pytest.mark.parametrize("seconds", ["nan", "-1"])
def test_time_that_is_none_is_refused(here, option, seconds):
    done = run("train", "vae-four-points", "--study", "tiny.yaml", option, seconds)
    assert done.exit_code == 2
    assert option in done.output and "0 or more" in done.output


def test_an_option_of_the_environment_is_named_by_its_variable(here, monkeypatch):
    monkeypatch.setenv("AEBAYES_TRAIN_TIME_LIMIT", "soon")
    done = run("train", "vae-four-points", "--study", "tiny.yaml")
    assert done.exit_code == 2
    assert "AEBAYES_TRAIN_TIME_LIMIT" in done.output and "soon" in done.output


def test_fetching_what_has_no_raw_files_says_so(here):
    done = run("fetch", "digits")
    assert done.exit_code == 0
    assert "digits has no raw files" in done.output


def test_audit_is_quick_or_deep(here):
    done = run("audit", "--study", "tiny.yaml", "--quick", "--deep")
    assert done.exit_code == 2 and "name one of them" in done.output


def test_manifest_of_a_folder_that_is_not_there_makes_none(here):
    output = refused("manifest", "--study", "tiny.yaml", "--partial", "--folder", "nope")
    assert "nope is no folder" in output
    assert not (here / "nope").exists()


def modules_imported_by(words: tuple[str, ...], folder: Path) -> set[str]:
    """Names of the modules that a command leaves imported in a process of its own."""
    code = (
        "import sys\nfrom aebayes.cli import main\n"
        f"main({list(words)!r}, standalone_mode=False)\n"
        "print('\\n', *sys.modules)"
    )
    library = Path(__file__).resolve().parents[1] / "workflow"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(library)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "words",
    [
        ("fetch", "digits"),
        ("prepare", "digits"),
        ("table", "avb-table-1", "--study", "tiny.yaml"),
        ("figure", "avb-figure-3", "--study", "tiny.yaml"),
    ],
    ids=lambda words: words[0],
)
def test_light_steps_do_not_import_torch(by_hand, words):
    assert not {"torch", "torchvision"} & modules_imported_by(words, by_hand)


@pytest.mark.parametrize("step", ["train", "evaluate"])
def test_what_is_not_compiled_does_not_import_the_compiler(by_hand, step):
    """It takes as long to import as torch itself."""
    modules = modules_imported_by((step, "avb-four-points", "--study", "tiny.yaml"), by_hand)
    assert "torch" in modules
    assert not {"torch._dynamo", "torch._inductor"} & modules
