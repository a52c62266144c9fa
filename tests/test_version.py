"""Versioning by DVC, in a small copy of the project: two experiments, one dataset."""

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest
import yaml
from dvc.cli import main

from aebayes.errors import AebayesError
from aebayes.version import drop_damaged, open_repo, pull, version_study

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:dvc")

PROJECT = Path(__file__).parents[1]
EXPERIMENTS = ["vae-digits", "avb-digits"]
CHECKPOINT = "results/pocket/runs/vae-digits/checkpoint.safetensors"
HISTORY = "step,replica,reconstruction,learning rate\n10,0,3.5,0.001\n10,1,4.5,0.001\n"


@pytest.fixture(autouse=True)
def no_identity(tmp_path, monkeypatch):
    """No user's git or DVC settings, and no DVC state left outside `tmp_path`."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    monkeypatch.setenv("DVC_GLOBAL_CONFIG_DIR", str(tmp_path / "global"))
    monkeypatch.setenv("DVC_TEST", "true")  # else DVC takes back the real stdout to print JSON


@pytest.fixture
def tree(tmp_path) -> Path:
    """A project that is no git repository, its pipeline run, nothing versioned."""
    root = tmp_path / "tree"
    copy_settings(root)
    run_pipeline(root)
    return root


@pytest.fixture
def clone(tree, tmp_path) -> Path:
    """A git clone with the dataset's .dvc files, its pipeline run, that never ran DVC."""
    version(tree)
    git(tree, "init", "--quiet")
    git(tree, "add", ".")
    author = ["-c", "user.name=aebayes", "-c", "user.email=aebayes@example.org"]
    git(tree, *author, "commit", "--quiet", "--message", "a dataset")
    root = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(tree), str(root))
    run_pipeline(root)
    return root


def copy_settings(root: Path) -> None:
    """Copy what the project tells git and DVC."""
    (root / ".dvc").mkdir(parents=True)
    for name in (".gitignore", ".dvcignore", ".dvc/config", ".dvc/.gitignore"):
        shutil.copy(PROJECT / name, root / name)
    shutil.copytree(PROJECT / ".dvc" / "plots", root / ".dvc" / "plots")


def run_pipeline(root: Path) -> None:
    """Write the files that the steps before versioning would write."""
    write(root / "data/raw/digits/digits.csv", b"0,1,2\n")
    write(root / "data/processed/digits.npz", b"digits")
    write(root / "data/processed/digits.json", b"{}")
    for number, name in enumerate(EXPERIMENTS):
        run = root / "results/pocket/runs" / name
        metric = {"unit": "nats", "replicas": [-1.0, -2.0], "mean": -1.5 - number, "sd": 0.7}
        about = {"experiment": name, "method": name.partition("-")[0], "dataset": "digits"}
        metrics = about | {"metrics": {"log-likelihood": metric}}
        write(run / "checkpoint.safetensors", name.encode())
        write(run / "optimiser.safetensors", f"optimiser of {name}".encode())
        write(run / "metrics.json", json.dumps(metrics).encode())
        write(run / "history.csv", HISTORY.encode())


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def version(root: Path) -> None:
    version_study("pocket", EXPERIMENTS, ["digits"], root)


def git(root: Path, *arguments: str) -> str:
    """Run git in `root`, and give what it prints."""
    command = ["git", *arguments]
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def dvc(capsys):
    """DVC's own command line, as a user would run it in `root`; gives what it prints."""

    def run(root: Path, *arguments: str) -> str:
        capsys.readouterr()
        assert main(["--cd", str(root), *arguments]) == 0
        printed = capsys.readouterr()
        assert "failed" not in printed.err
        return printed.out

    return run


def contents(root: Path) -> dict[str, tuple[bytes, int]]:
    """Bytes and time of change of every file under data/ and results/."""
    files = [path for top in ("data", "results") for path in (root / top).rglob("*")]
    return {
        str(path.relative_to(root)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in files
        if path.is_file()
    }


def test_a_run_leaves_git_and_dvc_clean_in_a_clone_that_never_ran_dvc(clone, dvc):
    version(clone)
    assert git(clone, "status", "--porcelain") == ""
    assert json.loads(dvc(clone, "status", "--json")) == {}
    assert (clone / f"{CHECKPOINT}.dvc").exists()


def test_dvc_sees_a_checkpoint_that_changed(clone, dvc):
    version(clone)
    write(clone / CHECKPOINT, b"trained differently")
    assert f"{CHECKPOINT}.dvc" in json.loads(dvc(clone, "status", "--json"))


def test_metrics_show_lists_the_means_of_every_experiment(tree, dvc):
    version(tree)
    shown = json.loads(dvc(tree, "metrics", "show", "--json"))[""]["data"]
    means = {Path(name).stem: value["data"]["log-likelihood"] for name, value in shown.items()}
    assert means == {"vae-digits": -1.5, "avb-digits": -2.5}


def test_plots_show_draws_every_quantity_of_every_history(tree, dvc):
    version(tree)
    drawn = json.loads(dvc(tree, "plots", "show", "--json"))
    names = {f"{name}: {of}" for name in EXPERIMENTS for of in ("reconstruction", "learning rate")}
    assert "errors" not in drawn
    assert {name.split("::")[-1] for name in drawn["data"]} == names


def test_checkout_restores_a_deleted_checkpoint_and_dataset(tree, dvc):
    version(tree)
    before = {name: file[0] for name, file in contents(tree).items()}
    (tree / CHECKPOINT).unlink()
    shutil.rmtree(tree / "data/raw/digits")
    dvc(tree, "checkout")
    assert {name: file[0] for name, file in contents(tree).items()} == before


def test_pushed_checkpoints_are_pulled_where_the_cache_is_gone(tree, tmp_path, dvc):
    version(tree)
    dvc(tree, "remote", "add", "--local", "--default", "store", str(tmp_path / "store"))
    dvc(tree, "push")
    shutil.rmtree(tree / ".dvc/cache")
    (tree / CHECKPOINT).unlink()
    dvc(tree, "pull")
    assert (tree / CHECKPOINT).read_bytes() == b"vae-digits"


def cached(root: Path, pointer: str, list_of_files: bool = False) -> Path:
    """DVC's object of a pointer; of a folder the first file that it lists, unless told."""
    place = root / ".dvc/cache/files/md5"
    name = yaml.safe_load((root / pointer).read_text())["outs"][0]["md5"]
    path = place / name[:2] / name[2:]
    if not name.endswith(".dir") or list_of_files:
        return path
    name = json.loads(path.read_text())[0]["md5"]
    return place / name[:2] / name[2:]


@pytest.mark.parametrize("list_of_files", [False, True])
def test_damaged_objects_leave_the_cache_and_hinder_no_others(tree, list_of_files):
    version(tree)
    pointers = [tree / "data/raw/digits.dvc", tree / f"{CHECKPOINT}.dvc"]
    assert drop_damaged(pointers, tree) == set()
    damaged = cached(tree, "data/raw/digits.dvc", list_of_files)
    content = damaged.read_bytes()
    damaged.chmod(0o644)
    damaged.write_bytes(content[:-2] + b"?" + content[-1:])
    damaged.chmod(0o444)
    shutil.rmtree(tree / "data/raw/digits")
    (tree / CHECKPOINT).unlink()
    pull(pointers, None, tree)
    assert (tree / CHECKPOINT).exists()
    assert drop_damaged(pointers, tree) == {pointers[0]}
    assert not damaged.exists()
    assert drop_damaged(pointers, tree) == set()


@pytest.mark.parametrize("name", ["data", "results", "results/pocket/runs/vae-digits"])
def test_linked_folders_are_refused_and_nothing_is_written(tree, tmp_path, name):
    (tree / name).rename(tmp_path / "elsewhere")
    (tree / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AebayesError, match=f"{name} is a link"):
        version(tree)
    assert not (tree / "results/pocket/dvc.yaml").exists()


def test_versioning_touches_no_data_or_checkpoint(tree):
    before = contents(tree)
    version(tree)
    assert {name: contents(tree)[name] for name in before} == before


def test_second_run_changes_no_bytes(tree):
    version(tree)
    before = {name: file[0] for name, file in contents(tree).items()}
    version(tree)
    assert {name: file[0] for name, file in contents(tree).items()} == before


def test_retrained_checkpoint_is_versioned_anew(tree, dvc):
    version(tree)
    write(tree / CHECKPOINT, b"trained differently")
    version(tree)
    assert json.loads(dvc(tree, "status", "--json")) == {}


def test_an_error_rate_is_no_failure_to_dvc(tree, capsys):
    path = tree / "results/pocket/runs/vae-digits/metrics.json"
    content = json.loads(path.read_text())
    content["metrics"]["error"] = content["metrics"]["log-likelihood"] | {"mean": 2.5}
    path.write_text(json.dumps(content))
    version(tree)
    capsys.readouterr()
    with contextlib.chdir(tree):
        assert main(["metrics", "show"]) == 0
    shown = capsys.readouterr()
    assert "error_rate" in shown.out
    assert "failed to load" not in shown.out + shown.err


def test_experiment_taken_out_of_the_study_leaves_the_metrics(tree, dvc):
    version(tree)
    version_study("pocket", EXPERIMENTS[:1], ["digits"], tree)
    assert "avb-digits" not in dvc(tree, "metrics", "show", "--json")


@pytest.mark.parametrize("changed", ["data/raw/digits/digits.csv", "data/processed/digits.npz"])
def test_dataset_of_other_bytes_is_refused_and_its_record_kept(clone, changed):
    write(clone / changed, b"other digits")
    with pytest.raises(AebayesError, match="dataset digits") as caught:
        version(clone)
    assert "delete" in caught.value.remedy
    assert git(clone, "status", "--porcelain") == ""


@pytest.mark.parametrize("stray", [".digits.csv.123.partial", ".DS_Store"])
def test_stray_file_beside_raw_data_is_no_other_dataset(clone, stray):
    write(clone / "data/raw/digits" / stray, b"left behind")
    version(clone)
    assert git(clone, "status", "--porcelain") == ""


def test_archive_beside_the_unpacked_raw_file_is_no_other_dataset(tree):
    for name in ("raw/mnist/t10k-labels-idx1-ubyte", "processed/mnist.npz", "processed/mnist.json"):
        write(tree / "data" / name, b"mnist")
    version_study("pocket", EXPERIMENTS, ["mnist"], tree)
    write(tree / "data/raw/mnist/t10k-labels-idx1-ubyte.gz", b"any mirror's")
    version_study("pocket", EXPERIMENTS, ["mnist"], tree)
    assert "nfiles: 1" in (tree / "data/raw/mnist.dvc").read_text()


@pytest.mark.parametrize(
    "missing", ["metrics.json", "history.csv", "checkpoint.safetensors", "optimiser.safetensors"]
)
def test_missing_file_of_a_run_is_named(tree, missing):
    path = tree / "results/pocket/runs/vae-digits" / missing
    path.unlink()
    with pytest.raises(AebayesError, match=missing):
        version(tree)


def test_metrics_without_means_are_named(tree):
    write(tree / "results/pocket/runs/avb-digits/metrics.json", b'{"metrics": {"elbo": 3}}')
    with pytest.raises(AebayesError, match=r"avb-digits/metrics\.json"):
        version(tree)


def test_override_that_hides_checkpoints_from_dvc_is_refused(clone):
    write(clone / ".dvc/config.local", b"[core]\n    no_scm = false\n")
    with pytest.raises(AebayesError, match="ignored") as caught:
        version(clone)
    assert "config.local" in caught.value.remedy


def test_project_without_dvc_settings_is_one_clear_error(tree):
    shutil.rmtree(tree / ".dvc")
    with pytest.raises(AebayesError, match="DVC") as caught:
        version(tree)
    assert ".dvc/config" in caught.value.remedy


def test_a_disk_without_room_for_dvcs_database_is_one_clear_error(tree):
    with pytest.raises(AebayesError, match=r"DVC failed under .*disk I/O error"), open_repo(tree):
        raise sqlite3.OperationalError("disk I/O error")


def test_gitignore_excepts_only_the_dvc_files_of_datasets():
    lines = (PROJECT / ".gitignore").read_text().splitlines()
    excepted = [line for line in lines if line.startswith("!/data/")]
    assert excepted and all(line.endswith("*.dvc") for line in excepted)
