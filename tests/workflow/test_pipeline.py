"""What Snakemake's and DVC's users rely on, on a real run of a small study."""

import csv
import json
import os
import re

import pytest
import tiny
from projects import TOOLS, make_project

from aebayes.files import sha256

NOTHING = "Nothing to be done"


def test_experiment_that_starts_from_another_waits_for_it_and_says_from_what(finished):
    runs = finished.folder / "results/tiny/runs"
    start = json.loads((runs / "after-digits/training.json").read_text())["started_from_sha256"]
    assert start == sha256(runs / "before-digits/checkpoint.safetensors")
    done = finished.snakemake(
        "results/tiny/runs/after-digits/metrics.json", "--dry-run", "--forcerun", "train"
    )
    assert "before-digits" in done.stdout + done.stderr


def most_at_once(log: str) -> int:
    """The most processors that running jobs asked for at any time."""
    events = re.findall(r"    jobid: (\d+)|processors=(\d+)|Finished jobid: (\d+)", log)
    job, running, most = "", {}, 0
    for started, processors, ended in events:
        job = started or job
        if processors:
            running[job] = int(processors)
        most = max(most, sum(running.values()))
        running.pop(ended, None)
    assert not running
    return most


@pytest.mark.parametrize(("options", "expected"), [((), 1), (("--resources", "processors=2"), 2)])
def test_jobs_at_once_are_as_many_as_processors_or_as_asked(finished, tmp_path, options, expected):
    project = finished.copy(tmp_path / "few")
    processor = min(os.sched_getaffinity(0))
    snakemake = ("taskset", "-c", processor, TOOLS / "snakemake", "--cores", 8)
    again = ("tables", "figures", "--forcerun", "avb_table_1", "avb_figure_3")
    done = project.command(*snakemake, *again, *options, "--config", "study=tiny.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    log = max((project.folder / ".snakemake/log").glob("*.log")).read_text()
    assert most_at_once(log.split("Select jobs to execute", 1)[1]) == expected


def test_finished_study_has_nothing_left_to_do(finished):
    done = finished.snakemake("--dry-run", "all")
    assert NOTHING in done.stdout + done.stderr


def test_what_was_deleted_of_tables_figures_and_records_is_made_anew(finished, tmp_path):
    project = finished.copy(tmp_path / "deleted")
    results = project.folder / "results/tiny"
    gone = [results / "tables/avb-table-1.md", results / "figures/avb-figure-3.pdf"]
    gone += [results / "provenance/avb-table-1.json"]
    for path in gone:
        path.unlink()
    done = project.snakemake("all")
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(path.exists() for path in gone)
    audited = project.aebayes("audit")
    assert audited.returncode == 0, audited.stdout


def test_raw_files_stay_whatever_the_mirrors_are(tmp_path, mnist_mirror):
    content = tiny.study()
    content["datasets"]["freyfaces"] = {"binarisation": "none"}
    project = make_project(tmp_path / "raw", content)
    wanted = "data/processed/freyfaces.npz"
    if not (mnist_mirror / "freyfaces").is_dir():
        pytest.skip("the mirror has no Frey faces")
    config = project.folder / "config/config.yaml"
    without = config.read_text()
    config.write_text(without.replace("mirrors: []", f"mirrors: ['{mnist_mirror}']"))
    first = project.snakemake(wanted)
    assert first.returncode == 0, first.stdout + first.stderr
    config.write_text(without)
    (file,) = (project.folder / "data/raw/freyfaces").iterdir()
    before = file.stat()
    # Elsewhere than there it cannot be had: fetched again, it would be gone.
    again = project.snakemake(wanted)
    assert NOTHING in again.stdout + again.stderr
    forced = project.snakemake(wanted, "--forcerun", "fetch_freyfaces")
    assert forced.returncode == 0, forced.stdout + forced.stderr
    assert file.stat().st_ino == before.st_ino


def test_run_leaves_the_git_tree_clean(finished):
    assert finished.git("status", "--porcelain") == ""


def test_dvc_knows_datasets_checkpoints_metrics_and_histories(finished):
    assert "up to date" in finished.dvc("status").stdout
    tracked = {str(path.relative_to(finished.folder)) for path in finished.folder.rglob("*.dvc")}
    assert "data/processed/digits.npz.dvc" in tracked
    assert "results/tiny/runs/avb-four-points/checkpoint.safetensors.dvc" in tracked
    metrics = finished.dvc("metrics", "show").stdout
    assert "log_likelihood" in metrics
    assert "avb-four-points" in metrics
    plots = finished.dvc("plots", "show", "--out", "plots-of-test")
    assert plots.returncode == 0, plots.stderr
    assert "bound" in (finished.folder / "plots-of-test/index.html").read_text()
    finished.command("rm", "-r", "plots-of-test")


def test_dvc_checkout_brings_a_checkpoint_back_and_nothing_reruns(finished):
    path = finished.folder / "results/tiny/runs/vae-four-points/checkpoint.safetensors"
    content = path.read_bytes()
    path.unlink()
    assert finished.dvc("checkout").returncode == 0
    assert path.read_bytes() == content
    added = finished.dvc("add", str(path.relative_to(finished.folder)))
    assert added.returncode == 0, added.stderr
    done = finished.snakemake("--dry-run", "all")
    assert NOTHING in done.stdout + done.stderr
    assert "up to date" in finished.dvc("status").stdout


def test_table_names_published_values_beside_ours(finished):
    path = finished.folder / "results/tiny/tables/avb-table-1.csv"
    rows = list(csv.DictReader(path.open()))
    cell = next(r for r in rows if r["row"] == "AVB" and r["column"] == "log-likelihood")
    assert cell["status"] == "run"
    assert float(cell["published"]) == -1.462
    assert int(cell["replicas"]) == 2


def test_single_table_is_made_by_its_rules_name(finished, tmp_path):
    project = finished.copy(tmp_path / "project")
    done = project.snakemake("avb_table_1", "--forcerun", "avb_table_1")
    assert done.returncode == 0, done.stderr
    assert "1 of 1 steps" in done.stdout + done.stderr


def test_every_job_has_its_log_and_benchmark(finished):
    results = finished.folder / "results/tiny"
    for name in ("train-vae-digits", "evaluate-vae-digits", "avb-table-1", "version"):
        assert (results / "logs" / f"{name}.log").exists()
        assert (results / "benchmarks" / f"{name}.tsv").exists()


def with_optional_svhn():
    """The tiny study with an optional SVHN beside its digits in a table and a figure."""
    content = tiny.study()
    content["datasets"]["svhn"] = {"binarisation": "none", "optional": True}
    content["experiments"]["vae-svhn"] = tiny.entry("vae", "digits") | {"dataset": "svhn"}
    labels = {"VAE": "vae-digits", "VAE, SVHN": "vae-svhn"}
    content["tables"]["image-likelihoods"] = {"experiments": labels}
    content["figures"]["avb-figure-4"] = {"experiments": labels}
    return content


def test_study_does_without_an_optional_dataset_unless_its_files_are_at_hand(tmp_path):
    project = make_project(tmp_path / "optional", with_optional_svhn())
    without = project.snakemake("all", "--dry-run").stdout
    assert "vae-digits" in without
    assert "vae-svhn" not in without
    assert "fetch_svhn" not in without
    asked = project.snakemake("results/tiny/runs/vae-svhn/metrics.json", "--dry-run")
    assert "the dataset svhn is not here" in asked.stdout + asked.stderr
    another = project.snakemake("data/processed/mnist.npz", "--dry-run")
    assert "the study tiny has no dataset mnist" in another.stdout + another.stderr
    folder = project.folder / "data" / "raw" / "svhn"
    folder.mkdir(parents=True)
    for name in ("train_32x32.mat", "test_32x32.mat"):
        (folder / name).touch()
    assert "vae-svhn/checkpoint.safetensors" in project.snakemake("all", "--dry-run").stdout


@pytest.fixture
def bare(tmp_path):
    return make_project(tmp_path / "bare", tiny.study())


def test_bad_input_ends_with_one_clear_message_before_anything_runs(bare):
    study_file = bare.folder / "tiny.yaml"
    good = study_file.read_text()
    cases = {
        good.replace("steps: 60", "stepz: 60", 1): ("experiments.vae-four-points", "stepz"),
        good.replace("method: vae", "method: vea", 1): ("experiments.vae-four-points", "'vea'"),
        good.replace("batch: 16", "batch: many", 1): (
            "training.batch",
            "takes an integer, not 'many'",
        ),
        good.replace("dataset: four_points", "dataset: five_points", 1): ("'five_points'",),
    }
    for content, expected in cases.items():
        study_file.write_text(content)
        done = bare.snakemake("all")
        assert done.returncode != 0
        output = done.stdout + done.stderr
        assert all(words in output for words in (*expected, "remedy", "tiny.yaml")), output
        assert "Traceback" not in output
    study_file.write_text(good)
    cases = [
        ("config.yaml", "{}study: [pocket\n", "config.yaml is not YAML: line "),
        ("config.yaml", "# nothing\n", "config/config.yaml holds no keys"),
        ("published.yaml", "{}unknown: 3\n", "published.yaml: unknown"),
    ]
    for name, content, expected in cases:
        path = bare.folder / "config" / name
        good = path.read_text()
        path.write_text(content.replace("{}", good))
        done = bare.snakemake("all")
        path.write_text(good)
        assert done.returncode != 0
        output = done.stdout + done.stderr
        assert expected in output and "remedy" in output, output
    assert not (bare.folder / "results").exists()
