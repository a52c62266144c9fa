"""What an audit promises, on a real run of a small study: every byte, every link, the way back."""

import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner
from projects import TOOLS, Project

from aebayes.audit.manifest import APART, MANIFEST, SEAL
from aebayes.cli import main
from aebayes.files import sha256

TRIALS = 3  # random bytes of each kind of file
ARTEFACTS = ("data/raw", "data/processed", "results/tiny")
LEFT_OUT = (*APART, "tmp")


def audit(project: Project, *words: object) -> subprocess.CompletedProcess:
    """`python -m aebayes audit` of the tiny study."""
    return project.aebayes("audit", *words)


def artefacts(project: Project) -> list[Path]:
    """Every file that the study made, and those that it was made from."""
    found = [project.folder / "config/published.yaml"]
    for part in ARTEFACTS:
        found += sorted((project.folder / part).rglob("*"))
    return [
        path
        for path in found
        if path.is_file()
        and path.stat().st_size
        and not (set(path.relative_to(project.folder).parts) & set(LEFT_OUT))
        and not (path.suffix == ".dvc" and "data" in path.relative_to(project.folder).parts)
    ]


@pytest.fixture(scope="module")
def copy(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy of the finished project that a test may spoil, if it mends it again."""
    return finished.copy(tmp_path_factory.mktemp("audited") / "project")


def test_finished_study_is_clean_and_every_cell_has_its_chain(copy):
    done = audit(copy)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((copy.folder / "results/tiny/audit/audit.json").read_text())
    assert found["clean"]
    assert set(found["counts"]) == {"identical"}
    cells = found["tables"]["avb-table-1"]
    assert {cell["row"] for cell in cells} == {"VAE", "AVB", "AAE"}
    assert all(cell["first_broken_link"] is None for cell in cells)
    page = (copy.folder / "results/tiny/audit/index.html").read_text()
    assert "every link holds" in page


def test_manifest_names_all_that_was_made_and_its_seal_is_sha256sums(copy):
    results = copy.folder / "results/tiny"
    manifest = json.loads((results / MANIFEST).read_text())
    known = set(manifest["artefacts"])
    made = {
        path.relative_to(results).as_posix() for path in artefacts(copy) if results in path.parents
    }
    assert made - {MANIFEST, SEAL} <= known
    checked = subprocess.run(["sha256sum", "--check", SEAL], cwd=results, check=False)
    assert checked.returncode == 0
    entry = manifest["artefacts"]["runs/avb-four-points/checkpoint.safetensors"]
    step = manifest["steps"][entry["step"]]
    assert step["rule"] == "train"
    assert step["parameters"]["method"] == "avb"
    assert step["inputs"] == {
        "data/processed/four_points.npz": sha256(copy.folder / "data/processed/four_points.npz")
    }
    where = manifest["environments"][step["environment"]]
    assert {"code_version", "libraries", "machine"} <= where.keys()
    assert {
        "code_sha256",
        "device",
        "threads",
        "precision",
        "started",
        "wall_seconds",
    } <= step.keys()


def audit_after_a_change_of(path: Path, project: Project) -> tuple[int, str]:
    """Exit status and output of a quick audit, run in the project's folder.

    In this process, as starting sixty others takes longer than what they do; but `published.yaml`
    is read beside the library, and that of this process is not the project's.
    """
    if path.name == "published.yaml":
        done = audit(project, "--quick")
        return done.returncode, done.stdout + done.stderr
    done = CliRunner().invoke(main, ["audit", "--quick", "--study", "tiny.yaml"])
    if done.exception and not isinstance(done.exception, SystemExit):
        return done.exit_code, f"Traceback: {done.exception!r}"
    return done.exit_code, done.output


@pytest.mark.slow
def test_any_changed_byte_is_reported_with_its_files_name(copy, monkeypatch):
    monkeypatch.chdir(copy.folder)
    chance = random.Random(1)
    kinds: dict[str, list[Path]] = {}
    for path in artefacts(copy):
        kinds.setdefault("".join(path.suffixes) + path.parent.name, []).append(path)
    assert len(kinds) > 15
    tried = [path for paths in kinds.values() for path in chance.choices(paths, k=TRIALS)]
    missed = []
    for path in tried:
        content = path.read_bytes()
        place = chance.randrange(len(content))
        flipped = content[place] ^ (1 << chance.randrange(8))
        path.write_bytes(content[:place] + bytes([flipped]) + content[place + 1 :])
        status, said = audit_after_a_change_of(path, copy)
        path.write_bytes(content)
        if status == 0 or path.name not in said or "Traceback" in said:
            missed.append((path, place, said))
    assert missed == []
    assert audit(copy, "--quick").returncode == 0


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("evaluation.json", "metrics_sha256"),
        ("metrics.json", "evaluation"),
        ("training.json", "experiment"),
    ],
)
def test_record_that_lacks_a_key_is_named(copy, name, key):
    path = copy.folder / "results/tiny/runs/vae-digits" / name
    content = path.read_text()
    assert content.count(f'"{key}"') == 1
    path.write_text(content.replace(f'"{key}"', '"another"'))
    audited, sealed = audit(copy, "--quick"), copy.aebayes("manifest")
    path.write_text(content)
    assert audited.returncode == 1
    assert f"changed: runs/vae-digits/{name}: " in audited.stdout
    assert sealed.returncode == 2
    assert f"{name} is not what its step writes: KeyError('{key}')" in sealed.stderr
    assert audit(copy, "--quick").returncode == 0


def test_missing_and_untracked_files_are_named(copy):
    table = copy.folder / "results/tiny/tables/avb-table-1.md"
    content = table.read_bytes()
    table.unlink()
    stranger = table.with_name("stranger.csv")
    stranger.write_text("1")
    done = audit(copy, "--quick")
    stranger.unlink()
    table.write_bytes(content)
    assert done.returncode == 1
    assert "missing: tables/avb-table-1.md" in done.stdout
    assert "untracked: tables/stranger.csv" in done.stdout


def audited_with(copy: Project, path: Path, content: str) -> subprocess.CompletedProcess:
    """The audit while a file has another content."""
    kept = path.read_bytes()
    path.write_text(content)
    done = audit(copy, "--quick")
    path.write_bytes(kept)
    return done


@pytest.mark.parametrize("content", ["{}", "{", '{"count": 1}'])
def test_card_that_was_changed_is_named_and_all_else_is_told(copy, content):
    done = audited_with(copy, copy.folder / "data/processed/digits.json", content)
    assert done.returncode == 1
    assert "changed: data/processed/digits.json" in done.stdout
    assert "1 changed" in done.stdout


@pytest.mark.parametrize("heading", ["row", "column", "status"])
def test_table_that_lost_a_heading_is_named(copy, heading):
    table = copy.folder / "results/tiny/tables/avb-table-1.csv"
    done = audited_with(copy, table, table.read_text().replace(heading, "another", 1))
    assert done.returncode == 1
    assert "changed: tables/avb-table-1.csv" in done.stdout


def test_data_in_the_studys_folder_do_not_stand_in_for_those_it_was_made_from(copy):
    data = copy.folder / "data/processed"
    planted = copy.folder / "results/tiny/data/processed"
    planted.mkdir(parents=True)
    for name in ("digits.npz", "digits.json"):
        shutil.copyfile(data / name, planted / name)
    kept = (data / "digits.npz").read_bytes()
    (data / "digits.npz").write_bytes(b"forged")
    done = audit(copy, "--quick")
    (data / "digits.npz").write_bytes(kept)
    shutil.rmtree(copy.folder / "results/tiny/data")
    assert done.returncode == 1
    assert "untracked: data/processed/digits.npz" in done.stdout


@pytest.mark.parametrize(
    "content", ["[]", '{"outputs": 3}', '{"inputs": {"a": 1}}', '{"outputs": {"../../x": "0"}}']
)
@pytest.mark.parametrize("record", ["provenance/avb-table-1.json", "digits.provenance.json"])
def test_record_of_another_form_is_named(copy, record, content):
    folder = "results/tiny" if "/" in record else "data/processed"
    path = copy.folder / folder / record
    kept = path.read_bytes()
    path.write_text(content)
    done = copy.aebayes("manifest")
    path.write_bytes(kept)
    assert done.returncode == 2
    assert str(path.relative_to(copy.folder)) in done.stderr
    assert "Traceback" not in done.stderr


def test_cell_names_the_first_link_that_does_not_hold(copy):
    path = copy.folder / "results/tiny/runs/avb-four-points/checkpoint.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    audit(copy, "--quick")
    path.write_bytes(content)
    found = json.loads((copy.folder / "results/tiny/audit/audit.json").read_text())
    broken = {
        cell["row"]: cell["first_broken_link"]
        for cell in found["tables"]["avb-table-1"]
        if cell["column"] == "ELBO"
    }
    assert broken["VAE"] is broken["AAE"] is None
    assert broken["AVB"].startswith("runs/avb-four-points/checkpoint.safetensors: changed")
    assert found["figures"]["avb-figure-3"]["first_broken_link"] is not None


def test_changed_settings_of_the_study_break_the_link_to_the_run(copy):
    study = copy.folder / "tiny.yaml"
    content = study.read_text()
    study.write_text(content.replace("steps: 1000", "steps: 1001"))
    done = audit(copy, "--quick")
    study.write_text(content)
    assert done.returncode == 1
    assert "broken link: train avb-four-points" in done.stdout
    assert "training.steps is 1000 there and 1001 in the study" in done.stdout


def test_table_that_no_record_tells_the_making_of_is_a_broken_link(copy):
    results = copy.folder / "results/tiny"
    record = results / "provenance/avb-table-1.json"
    kept = {path: path.read_bytes() for path in (record, results / MANIFEST, results / SEAL)}
    record.unlink()
    assert copy.aebayes("manifest", "--partial").returncode == 0
    done = audit(copy, "--quick")
    for path, content in kept.items():
        path.write_bytes(content)
    assert done.returncode == 1
    assert "broken link: table avb-table-1: no record says from what and how" in done.stdout


def test_table_that_metrics_do_not_give_is_found_though_every_hash_is_right(copy):
    results = copy.folder / "results/tiny"
    kept = {path: path.read_bytes() for path in (results / "tables").iterdir()}
    kept |= {results / name: (results / name).read_bytes() for name in (MANIFEST, SEAL)}
    record = results / "provenance/avb-table-1.json"
    kept[record] = record.read_bytes()
    table = results / "tables/avb-table-1.csv"
    text = table.read_text()
    number = next(line for line in text.splitlines() if line.startswith("avb-table-1,AVB,ELBO"))
    forged = number.replace(number.split(",")[4], "-1.0")
    printed = table.with_suffix(".md")
    for path, changed in (
        (table, text.replace(number, forged)),
        (printed, printed.read_text().replace("Study tiny", "Study grand")),
    ):
        old = sha256(path)
        path.write_text(changed)
        record.write_text(record.read_text().replace(old, sha256(path)))
    assert copy.aebayes("manifest").returncode == 0
    quick, whole = audit(copy, "--quick"), audit(copy)
    for path, content in kept.items():
        path.write_bytes(content)
    assert quick.returncode == 0
    assert whole.returncode == 1
    assert "changed: tables/avb-table-1.csv: it is not what metrics give now" in whole.stdout
    assert "AVB, ELBO: mean is '-1.0' here" in whole.stdout
    assert (
        "changed: tables/avb-table-1.md: it is not what metrics give now: line 1 is" in whole.stdout
    )


def test_deep_audit_computes_metrics_and_datasets_anew(copy):
    done = audit(copy, "--deep")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "metrics of vae-digits" in done.stderr
    assert "dataset digits" in done.stderr


def test_audit_runs_as_a_rule_and_makes_nothing(copy):
    missing = copy.folder / "results/tiny/figures/avb-figure-3.pdf"
    content = missing.read_bytes()
    missing.unlink()
    done = copy.snakemake("audit")
    assert done.returncode != 0
    assert "missing: figures/avb-figure-3.pdf" in done.stdout + done.stderr
    assert "remedy: bring back what is named" in done.stdout + done.stderr
    assert not missing.exists()
    missing.write_bytes(content)
    assert copy.snakemake("audit").returncode == 0


def test_only_a_clean_study_is_promoted_and_a_new_run_is_compared_with_it(copy):
    results, reference = copy.folder / "results/tiny", copy.folder / "results/reference/tiny"
    path = results / "runs/vae-four-points/history.csv"
    content = path.read_bytes()
    path.write_bytes(content + b"\n")
    refused = copy.aebayes("promote")
    path.write_bytes(content)
    assert refused.returncode == 1
    assert "runs/vae-four-points/history.csv is changed" in refused.stderr
    assert not reference.exists()

    (copy.folder / "file").touch()
    refused = copy.aebayes("promote", "--reference", "file/reference")
    (copy.folder / "file").unlink()
    assert refused.returncode == 2
    assert "cannot write file/reference" in refused.stderr

    assert copy.aebayes("promote").returncode == 0
    held = {each.relative_to(reference).as_posix() for each in reference.rglob("*")}
    assert "tables/avb-table-1.csv" in held
    assert not any(name.endswith(".safetensors") for name in held)
    done = audit(copy, "--folder", reference, "--out", copy.folder / "results/of-reference")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "elsewhere" in done.stdout

    # Where data are not there, or were prepared once more, the reference stays what it is.
    data = copy.folder / "data/processed"
    before = {path: path.read_bytes() for path in data.iterdir()}
    record = data / "digits.provenance.json"
    record.write_bytes(before[record].replace(b'"rule"', b'"rule" '))
    own = (copy.folder / "results/tiny/audit/audit.json").read_bytes()
    again = audit(copy, "--folder", reference)
    assert (reference / "audit/index.html").is_file()
    assert (copy.folder / "results/tiny/audit/audit.json").read_bytes() == own
    shutil.rmtree(data)
    alone = audit(copy, "--folder", reference, "--out", copy.folder / "results/of-reference")
    data.mkdir()
    for path, content in before.items():
        path.write_bytes(content)
    assert again.returncode == 0, again.stdout
    assert alone.returncode == 0, alone.stdout

    assert copy.aebayes("compare").returncode == 0
    metrics = reference / "runs/avb-four-points/metrics.json"
    text = metrics.read_text()
    changed = json.loads(text)
    changed["metrics"]["elbo"]["mean"] += 10
    metrics.write_text(json.dumps(changed))
    done = copy.aebayes("compare")
    metrics.write_text(text)
    assert done.returncode == 1
    assert "avb-four-points: elbo" in done.stdout
    assert "1 of " in done.stdout
    shutil.rmtree(reference.parent)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_audit_that_is_asked_to_stop_ends_with_its_processes(copy, number, tmp_path):
    own = {"PYTHONPATH": os.fspath(copy.folder / "workflow"), "TMPDIR": os.fspath(tmp_path)}
    started = subprocess.Popen(
        [TOOLS / "python", "-m", "aebayes", "audit", "--study", "tiny.yaml"],
        cwd=copy.folder,
        env=copy.environment() | own,
        start_new_session=True,
        # Of tests in the background of a shell without job control it would be ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        while not list(tmp_path.glob("*/figures/*.png")):
            assert started.poll() is None
            time.sleep(0.01)
        drawing = psutil.Process(started.pid).children()
        assert drawing
        if number == signal.SIGINT:
            os.killpg(started.pid, number)
        else:
            started.send_signal(number)
        assert started.wait(timeout=60) == 128 + number
        assert not any(process.is_running() for process in drawing)
        assert not list(tmp_path.iterdir())
    finally:
        started.kill()


def test_no_room_for_temporary_files_is_no_finding(copy):
    own = f"PYTHONPATH={copy.folder / 'workflow'}"
    done = copy.command(
        *("env", own, "bash", "-c", 'ulimit -f 20; exec "$@"', "bash"),
        *(TOOLS / "python", "-m", "aebayes", "audit", "--study", "tiny.yaml"),
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert "error: what is to be compared cannot be made again" in done.stderr
    assert "TMPDIR" in done.stderr
    assert "changed" not in done.stdout


def test_a_report_that_cannot_be_written_leaves_its_findings_told(copy):
    path = copy.folder / "results/tiny/metrics/vae-digits.json"
    path.rename(path.with_suffix(".kept"))
    done = audit(copy, "--quick", "--out", "tiny.yaml/audit")
    path.with_suffix(".kept").rename(path)
    assert done.returncode == 2
    assert "missing: metrics/vae-digits.json" in done.stdout
    assert "tiny.yaml/audit" in done.stderr and "--out FOLDER" in done.stderr


def test_a_folder_in_the_place_of_metrics_that_a_figure_does_not_read_is_left_out(copy):
    results = copy.folder / "results/tiny"
    record, metrics = results / "provenance/avb-figure-3.json", "runs/vae-four-points/metrics.json"
    kept = record.read_bytes()
    (results / metrics).rename(results / "kept")
    (results / metrics).mkdir()
    done = copy.aebayes("figure", "avb-figure-3")
    (results / metrics).rmdir()
    (results / "kept").rename(results / metrics)
    read = json.loads(record.read_text())["inputs"]
    record.write_bytes(kept)
    assert done.returncode == 0, done.stderr
    assert metrics in json.loads(kept)["inputs"] and metrics not in read


def test_version_that_is_refused_writes_nothing(copy):
    results = copy.folder / "results/tiny"
    before = {path: path.read_bytes() for path in results.rglob("*") if path.is_file()}
    done = copy.aebayes("version", "--without", "four_points")
    assert done.returncode == 2 and "--without" in done.stderr
    assert {path: path.read_bytes() for path in results.rglob("*") if path.is_file()} == before


def test_what_only_version_makes_anew_is_said_to_be_so(copy):
    path = copy.folder / "results/tiny/metrics/vae-digits.json"
    content = path.read_bytes()
    path.unlink()
    done = audit(copy, "--quick")
    assert done.returncode == 1
    assert "python -m aebayes version --study tiny.yaml" in done.stdout
    assert copy.aebayes("version").returncode == 0
    assert path.read_bytes() == content
    assert audit(copy, "--quick").returncode == 0


@pytest.mark.parametrize("name", ["dangling", b"\xff"])
def test_links_and_names_that_are_no_text_are_untracked(copy, name):
    folder = os.fsencode(copy.folder / "results/tiny/figures")
    path = os.path.join(folder, os.fsencode(name))
    os.symlink("/nowhere", path)
    done = audit(copy)
    os.unlink(path)
    assert done.returncode == 1, done.stderr
    shown = name if isinstance(name, str) else r"\udcff"
    assert "untracked: figures/" in done.stdout
    page = json.loads((copy.folder / "results/tiny/audit/audit.json").read_text())
    assert page["counts"]["untracked"] == 1
    assert f"figures/{shown}" in page["artefacts"]


def test_linked_results_are_refused_before_anything_runs(copy, tmp_path):
    results = copy.folder / "results"
    results.rename(tmp_path / "big")
    results.symlink_to(tmp_path / "big")
    done = copy.snakemake("--dry-run", "all")
    results.unlink()
    (tmp_path / "big").rename(results)
    assert done.returncode != 0
    assert "is a link, and DVC versions nothing inside a linked folder" in done.stdout + done.stderr
