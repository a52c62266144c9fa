import csv
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from operator import gt

import pytest
import tiny
import torch
from safetensors.torch import load_file

from aebayes import devices
from aebayes.compilation import compiler_found
from aebayes.data.dataset import load
from aebayes.errors import AebayesError, Interrupted
from aebayes.evaluation.run import evaluate
from aebayes.files import sha256
from aebayes.runs import load_checkpoint
from aebayes.tensors import load_tensors, save_tensors
from aebayes.training.loop import EXIT_TIME_LIMIT, SIGNALS, Interruptions
from aebayes.training.run import check_classes, train

CPU = torch.device("cpu")


def run(prepared, folder, experiment, **options):
    """Train in `folder`; the checkpoint's and history's bytes."""
    data = prepared / f"{experiment['dataset']}.npz"
    train(experiment, data, folder, folder / "resume.safetensors", "cpu", **options)
    return [(folder / name).read_bytes() for name in ("checkpoint.safetensors", "history.csv")]


@pytest.mark.parametrize("method", ["vae", "iwae", "avb", "avb_restricted", "aae"])
@pytest.mark.parametrize("dataset", ["four_points", "digits"])
def test_same_settings_give_the_same_bytes(prepared, tmp_path, method, dataset):
    experiment = tiny.experiment(method, dataset) | {"binarisation": "dynamic"}
    first = run(prepared, tmp_path / "a", experiment)
    assert run(prepared, tmp_path / "b", experiment) == first


def by_soap():
    """A VAE by SOAP, at sizes at which products of another layout in memory round otherwise."""
    experiment = tiny.experiment("vae", "digits")
    soap = tiny.ADAM | {"optimiser": "soap", "learning_rate": 3e-3, "betas": [0.9, 0.99]}
    experiment["training"]["phases"] = {"bound": soap}
    return experiment


def in_stages():
    """GMMN+AE, its second phase after its first; the change lies within a line of the history."""
    experiment = tiny.experiment("gmmn", "digits")
    experiment["training"]["phases"] = {
        "reconstruction": tiny.ADAM | {"span": [0, 0.45]},
        "matching": tiny.ADAM | {"span": [0.55, 1]},
    }
    return experiment


def pretrained():
    """IWAE after the VAE's bound."""
    experiment = tiny.experiment("iwae", "digits")
    experiment["objective"]["pretraining_samples"] = 2
    experiment["training"]["phases"] = {
        "pretraining": tiny.ADAM | {"span": [0, 0.4]},
        "bound": tiny.ADAM | {"span": [0.4, 1]},
    }
    return experiment


@pytest.mark.parametrize(
    "experiment",
    [
        *(tiny.experiment(name, "digits") for name in ("vae", "iwae", "avb", "avb_restricted")),
        *(tiny.experiment(name, "digits") for name in ("aae", "categorical_aae", "m2")),
        *(by_soap(), in_stages(), pretrained()),
    ],
    ids=[
        *("vae", "iwae", "avb", "avb_restricted", "aae", "categorical_aae", "m2", "soap"),
        *("stages", "pretrained"),
    ],
)
def test_interrupted_run_ends_in_the_same_bytes(prepared, tmp_path, experiment):
    experiment |= {"binarisation": "dynamic"}
    whole = run(prepared, tmp_path / "whole", experiment)
    interruptions, spent = 0, (0.0, 0.0)
    while True:
        try:
            parts = run(prepared, tmp_path / "parts", experiment, interruptions=Interruptions(0.02))
            break
        except Interrupted as stopped:
            interruptions += 1
            assert stopped.status == EXIT_TIME_LIMIT
            assert not (tmp_path / "parts" / "checkpoint.safetensors").exists()
            state = tmp_path / "parts" / "resume.safetensors"
            _, about = load_tensors(state, {"seconds", "processor_seconds"})
            before, spent = spent, (about["seconds"], about["processor_seconds"])
            assert all(map(gt, spent, before))  # of all starts
    assert interruptions > 0
    assert parts == whole
    assert not (tmp_path / "parts" / "resume.safetensors").exists()


FILTERS = {"kernel": 3, "convolutions": [{"channels": 4, "stride": 2}]}


@pytest.mark.parametrize("method", ["vae", "iwae", "aae", "categorical_aae"])
@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_convolutional_models_are_trained_and_evaluated(prepared, tmp_path, method, part):
    """In the plane, where evaluation looks at one replica, at posteriors and at walks."""
    experiment = tiny.experiment(method, "digits", steps=5) | {"binarisation": "none"}
    experiment["model"][part] |= FILTERS
    if experiment["evaluation"]["kind"] != "classes":
        experiment["evaluation"] = {"kind": "sampled", "importance_samples": 5}
    run(prepared, tmp_path, experiment)
    evaluate(experiment, prepared / "digits.npz", tmp_path, "cpu")
    metrics = json.loads((tmp_path / "metrics.json").read_text())["metrics"]
    assert all(math.isfinite(metric["mean"]) for metric in metrics.values())


WITH_CLASSES = ["categorical_aae", "m2", "classifier"]


@pytest.mark.parametrize(
    "method", ["vae", "vae_auxiliary", "iwae", "avb", "avb_restricted", "aae", *WITH_CLASSES]
)
def test_replica_does_not_depend_on_which_others_are_stacked_with_it(prepared, tmp_path, method):
    experiment = tiny.experiment(method, "digits" if method in WITH_CLASSES else "four_points")
    run(prepared, tmp_path / "all", experiment, replicas=[0, 1, 2])
    run(prepared, tmp_path / "one", experiment, replicas=[1])
    stacked = load_file(tmp_path / "all" / "checkpoint.safetensors")
    alone = load_file(tmp_path / "one" / "checkpoint.safetensors")
    # Only float round-off, 6e-8 at most where this was measured: a batched product may sum in
    # another order than a single one. Neighbours differ by the size of the weights themselves.
    for name in alone:
        torch.testing.assert_close(stacked[name][1], alone[name][0], rtol=1e-5, atol=1e-5)
    first = next(name for name in alone if name.endswith("layers.0.weight"))
    assert (stacked[first][0] - alone[first][0]).abs().max() > 0.1


@pytest.mark.parametrize(
    ("prior", "key"),
    [
        ({"kind": "swiss_roll", "classes": 9, "radius": 3, "turns": 2}, "model.prior.classes is 9"),
        ({"kind": "categorical"}, "model.latent is 2"),
    ],
)
def test_labels_of_more_or_fewer_classes_than_the_priors_are_refused(
    prepared, tmp_path, prior, key
):
    experiment = tiny.experiment("aae", "digits")
    experiment["objective"]["labelled"] = 100
    experiment["model"]["prior"] = prior
    with pytest.raises(AebayesError, match=f"{key}, but digits has 10") as refusal:
        run(prepared, tmp_path, experiment)
    assert "10" in refusal.value.remedy


def test_span_that_holds_no_step_is_refused(prepared, tmp_path):
    experiment = tiny.experiment("gmmn", "digits")
    phases = experiment["training"]["phases"]
    phases["matching"] = phases["matching"] | {"span": [0.301, 0.302]}
    with pytest.raises(AebayesError, match=r"phases.matching.span .* none of 60 steps"):
        run(prepared, tmp_path, experiment)


def test_training_lowers_the_loss(prepared, tmp_path):
    run(prepared, tmp_path, tiny.experiment("vae", steps=600))
    rows = list(csv.DictReader((tmp_path / "history.csv").open()))
    assert [row["replica"] for row in rows[:2]] == ["0", "1"]
    assert int(rows[-1]["step"]) == 600
    assert all(float(row["bound"]) < float(rows[0]["bound"]) - 0.3 for row in rows[-2:])


def with_bfloat16(monkeypatch, found):
    """A CPU that has it, or none; here both work, at different speeds."""
    monkeypatch.setattr(devices, "cpu_takes_bfloat16", lambda: found)


def test_bfloat16_training_ends_near_the_float32_loss(prepared, tmp_path, monkeypatch):
    with_bfloat16(monkeypatch, found=True)
    ends = []
    for precision in ("float32", "bfloat16"):
        folder = tmp_path / precision
        run(prepared, folder, tiny.experiment("vae", steps=400, precision=precision, log_every=100))
        rows = list(csv.DictReader((folder / "history.csv").open()))[-2:]
        ends.append(sum(float(row["bound"]) for row in rows) / 2)
        weights = load_file(folder / "checkpoint.safetensors")
        assert all(tensor.dtype == torch.float32 for tensor in weights.values())
        about = json.loads((folder / "training.json").read_text())
        assert about["precision"] == precision
    assert 0 < abs(ends[0] - ends[1]) < 0.1


def test_on_a_cpu_without_bfloat16_the_products_are_float32s(prepared, tmp_path, monkeypatch):
    with_bfloat16(monkeypatch, found=False)
    histories = []
    for precision in ("float32", "bfloat16"):
        folder = tmp_path / precision
        run(prepared, folder, tiny.experiment("vae", steps=20, precision=precision))
        about = json.loads((folder / "training.json").read_text())
        assert about["precision"] == "float32"
        assert about["experiment"]["training"]["precision"] == precision
        histories.append((folder / "history.csv").read_text())
    assert histories[0] == histories[1]


def test_loss_that_is_not_finite_names_phase_step_and_replica(prepared, tmp_path):
    experiment = tiny.experiment("avb")
    experiment["training"]["phases"]["bound"]["learning_rate"] = 1e30
    with pytest.raises(AebayesError) as caught:
        run(prepared, tmp_path, experiment)
    assert caught.value.status == 3
    message = str(caught.value)
    assert "phase 'bound'" in message
    assert "at step 2," in message  # the first bound was fine: its step was not
    assert "replica 0" in message
    assert "learning_rate" in caught.value.remedy
    assert not (tmp_path / "checkpoint.safetensors").exists()


def test_weights_that_the_last_step_ruined_are_not_a_checkpoint(prepared, tmp_path):
    experiment = tiny.experiment("vae", steps=1)
    experiment["training"]["phases"]["bound"]["learning_rate"] = 1e39
    with pytest.raises(AebayesError, match="not finite after the last step") as caught:
        run(prepared, tmp_path, experiment)
    assert caught.value.status == 3
    assert not (tmp_path / "checkpoint.safetensors").exists()


def test_checkpoint_in_the_place_of_a_state_is_reported_and_training_starts_afresh(
    prepared, tmp_path, capsys
):
    whole = run(prepared, tmp_path / "whole", tiny.experiment("vae"))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "resume.safetensors").write_bytes(whole[0])
    assert run(prepared, tmp_path / "other", tiny.experiment("vae")) == whole
    assert "its header lacks" in capsys.readouterr().out


def test_state_of_other_settings_is_not_gone_on_from(prepared, tmp_path, capsys):
    experiment = tiny.experiment("vae", "digits")
    with pytest.raises(Interrupted):
        run(prepared, tmp_path, experiment, interruptions=Interruptions(0))
    other = tiny.experiment("vae", "digits", seed=2)
    changed = run(prepared, tmp_path, other)
    assert "starting from step 0" in capsys.readouterr().out
    assert changed == run(prepared, tmp_path / "fresh", other)


def test_broken_state_is_reported_and_training_starts_afresh(prepared, tmp_path, capsys):
    experiment = tiny.experiment("vae")
    whole = run(prepared, tmp_path / "whole", experiment)
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "resume.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}")
    assert run(prepared, folder, experiment) == whole
    assert "unreadable" in capsys.readouterr().out


def flip_last_bit(path):
    """Change a tensor's last bit: of the file's form nothing changes."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def change_step(path):
    """Change the step in a state's header, which stays a header."""
    content = path.read_bytes()
    changed = content.replace(b'\\"step\\": 1', b'\\"step\\": 3')
    assert changed != content
    path.write_bytes(changed)


@pytest.mark.parametrize("damage", [flip_last_bit, change_step])
def test_damaged_state_that_is_readable_is_not_gone_on_from(prepared, tmp_path, capsys, damage):
    experiment = tiny.experiment("vae", "digits")
    whole = run(prepared, tmp_path / "whole", experiment)
    with pytest.raises(Interrupted):
        run(prepared, tmp_path / "parts", experiment, interruptions=Interruptions(0))
    damage(tmp_path / "parts" / "resume.safetensors")
    assert run(prepared, tmp_path / "parts", experiment) == whole
    assert "it is not what was saved" in capsys.readouterr().out


def test_folder_that_cannot_be_written_ends_with_one_clear_error(prepared, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(AebayesError, match=r"cannot write to .*file"):
        run(prepared, tmp_path / "file" / "run", tiny.experiment("vae"))
    assert (tmp_path / "file").read_text() == "in the way"


def checkpoint(prepared, tmp_path):
    experiment = tiny.experiment("vae")
    run(prepared, tmp_path, experiment)
    return tmp_path / "checkpoint.safetensors", experiment, load(prepared / "four_points.npz")


def test_checkpoint_comes_back_as_the_method_that_was_trained(prepared, tmp_path):
    path, experiment, dataset = checkpoint(prepared, tmp_path)
    method, replicas = load_checkpoint(path, experiment, dataset, CPU)
    assert replicas == [0, 1]
    tensors = load_file(path)
    assert all(torch.equal(tensors[name], value) for name, value in method.state_dict().items())


def test_checkpoint_of_another_experiment_is_refused_by_name(prepared, tmp_path):
    path, _, dataset = checkpoint(prepared, tmp_path)
    other = tiny.experiment("vae", seed=9)
    with pytest.raises(AebayesError, match=r"training\.seed is 1 there and 9 in the study"):
        load_checkpoint(path, other, dataset, CPU)


def test_checkpoint_of_other_data_is_refused(prepared, tmp_path):
    path, experiment, _ = checkpoint(prepared, tmp_path)
    with pytest.raises(AebayesError, match="other bytes"):
        load_checkpoint(path, experiment, load(prepared / "digits.npz"), CPU)


def test_truncated_checkpoint_ends_with_one_clear_error(prepared, tmp_path):
    path, experiment, dataset = checkpoint(prepared, tmp_path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(AebayesError, match="not a readable checkpoint"):
        load_checkpoint(path, experiment, dataset, CPU)


def test_data_of_another_name_are_not_trained_on(prepared, tmp_path):
    experiment = tiny.experiment("vae", "digits")
    with pytest.raises(AebayesError, match=r"four_points\.npz is of the dataset four_points, and"):
        train(experiment, prepared / "four_points.npz", tmp_path, tmp_path / "resume.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_checkpoint_with_a_flipped_bit_is_not_evaluated(prepared, tmp_path):
    experiment = tiny.experiment("vae")
    run(prepared, tmp_path, experiment)
    flip_last_bit(tmp_path / "checkpoint.safetensors")
    with pytest.raises(AebayesError, match=r"is not the one that .*training\.json tells of"):
        evaluate(experiment, prepared / "four_points.npz", tmp_path)
    assert not (tmp_path / "metrics.json").exists()


def test_checkpoint_that_was_lost_may_be_in_dvc(prepared, tmp_path):
    experiment = tiny.experiment("vae")
    run(prepared, tmp_path, experiment)
    (tmp_path / "checkpoint.safetensors").unlink()
    with pytest.raises(AebayesError, match=r"is missing, which .*training\.json tells") as caught:
        evaluate(experiment, prepared / "four_points.npz", tmp_path)
    assert "dvc checkout --force" in caught.value.remedy


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda name, tensor: {f"older_{name}": tensor}, "it has no tensor "),
        (lambda name, tensor: {name: tensor, "older": tensor.clone()}, "it has a tensor older, "),
        (
            lambda name, tensor: {name: tensor[:1].contiguous()},
            r"its tensor \S+ has the shape \(1, ",
        ),
    ],
)
def test_checkpoint_of_an_older_version_is_refused_by_the_first_tensor(
    change, said, prepared, tmp_path
):
    path, experiment, dataset = checkpoint(prepared, tmp_path)
    tensors, about = load_tensors(path, set())
    name = next(name for name in sorted(tensors) if name.endswith("weight"))
    tensors |= change(name, tensors.pop(name))
    save_tensors(path, tensors, about)
    content = path.read_bytes()
    with pytest.raises(AebayesError, match=f"made by another version of the library: {said}"):
        load_checkpoint(path, experiment, dataset, CPU)
    assert path.read_bytes() == content


def start(prepared, folder, study):
    """`aebayes train` in a process of its own, saving its state five times a second."""
    command = [sys.executable, "-m", "aebayes", "train", "vae-four-points", "--study", str(study)]
    command += ["--data", str(prepared / "four_points.npz"), "--run", str(folder)]
    command += ["--resume", str(folder / "resume.safetensors"), "--save-every", "0.2"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_killed_and_terminated_run_ends_in_the_same_bytes(prepared, tmp_path):
    content = tiny.study()
    content["experiments"]["vae-four-points"]["training"]["steps"] = 2500
    study = tiny.write(tmp_path / "tiny.yaml", content)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    experiment = content["experiments"]["vae-four-points"]
    run(prepared, whole, {"name": "vae-four-points", "binarisation": "none", **experiment})
    for wish, status in (
        (signal.SIGKILL, -signal.SIGKILL),
        (signal.SIGTERM, SIGNALS[signal.SIGTERM]),
    ):
        resume = parts / "resume.safetensors"
        before = resume.stat().st_mtime_ns if resume.exists() else 0
        process = start(prepared, parts, study)
        deadline = time.monotonic() + 60
        while not (resume.exists() and resume.stat().st_mtime_ns > before):
            assert time.monotonic() < deadline
            assert process.poll() is None, process.stdout.read()
            time.sleep(0.01)
        os.kill(process.pid, wish)
        assert process.wait(60) == status
        assert not (parts / "checkpoint.safetensors").exists()
    process = start(prepared, parts, study)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert "going on from step" in output
    for name in ("checkpoint.safetensors", "history.csv"):
        assert (parts / name).read_bytes() == (whole / name).read_bytes()


def switched(**training):
    """An IWAE that starts from a VAE of the same nets, and that VAE, as a study resolves them."""
    before = tiny.experiment("iwae", "digits") | {"name": "before", "binarisation": "dynamic"}
    before["objective"] = {"samples": 1, "weighting": "average"}
    after = tiny.experiment("iwae", "digits", seed=5, **training)
    return before, after | {"name": "after", "binarisation": "dynamic", "start_from": "before"}


def test_run_that_starts_from_another_begins_with_its_networks_and_its_optimisers(
    prepared, tmp_path
):
    before, after = switched(steps=1)
    after["training"]["phases"]["bound"] = tiny.ADAM | {"learning_rate": 1e-12}
    run(prepared, tmp_path / "before", before)
    run(prepared, tmp_path / "after", after, source=tmp_path / "before")
    ends = [load_file(tmp_path / name / "checkpoint.safetensors") for name in ("before", "after")]
    for name, tensor in ends[0].items():
        torch.testing.assert_close(ends[1][name], tensor, rtol=0, atol=1e-9)
    first, second = (
        load_file(tmp_path / name / "optimiser.safetensors") for name in ("before", "after")
    )
    assert second["bound.0.step"] == first["bound.0.step"] + 1
    beta = tiny.ADAM["betas"][1]
    assert (second["bound.0.exp_avg_sq"] >= beta * first["bound.0.exp_avg_sq"] * 0.999999).all()
    about = json.loads((tmp_path / "after" / "training.json").read_text())
    assert about["started_from_sha256"] == sha256(tmp_path / "before" / "checkpoint.safetensors")


def test_switched_run_that_was_killed_ends_in_the_same_bytes(prepared, tmp_path):
    before, after = switched()
    run(prepared, tmp_path / "before", before)
    whole = run(prepared, tmp_path / "whole", after, source=tmp_path / "before")
    interruptions = 0
    while True:
        try:
            options = {"interruptions": Interruptions(0.02), "source": tmp_path / "before"}
            parts = run(prepared, tmp_path / "parts", after, **options)
            break
        except Interrupted:
            interruptions += 1
    assert interruptions > 0
    assert parts == whole


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"replicas": [0]}, "replicas is"),
        ({"missing": "optimiser.safetensors"}, "optimiser.safetensors is missing"),
        ({"missing": "checkpoint.safetensors"}, "checkpoint.safetensors is missing"),
        ({"other": True}, "is of another checkpoint"),
        ({"damaged": "optimiser.safetensors"}, r"optimiser\.safetensors is not the one that"),
        ({"damaged": "checkpoint.safetensors"}, r"checkpoint\.safetensors is not the one that"),
    ],
)
def test_start_that_does_not_fit_is_refused_and_says_what_to_train(
    prepared, tmp_path, change, said
):
    before, after = switched(steps=1)
    before["training"]["steps"] = 2
    source = tmp_path / "before"
    run(prepared, source, before)
    if "missing" in change:
        (source / change["missing"]).unlink()
    if "other" in change:
        before["training"]["seed"] = 9
        run(prepared, tmp_path / "other", before)
        shutil.copy(tmp_path / "other" / "optimiser.safetensors", source)
        (source / "training.json").unlink()
    if "damaged" in change:
        flip_last_bit(source / change["damaged"])
    options = {"replicas": change["replicas"]} if "replicas" in change else {}
    with pytest.raises(AebayesError, match=said) as refusal:
        run(prepared, tmp_path / "after", after, source=source, **options)
    assert "train before" in refusal.value.remedy
    lost = change.get("damaged") or change.get("missing")
    copied = f"dvc checkout --force {source / str(lost)}"
    assert (copied in refusal.value.remedy) == (lost is not None)


@pytest.mark.skipif(not compiler_found(), reason="no C++ compiler on this machine")
def test_compiled_training_ends_near_the_plain_one_and_in_the_same_bytes_each_time(
    prepared, tmp_path
):
    plain = tiny.experiment("vae", "digits", steps=20) | {"binarisation": "dynamic"}
    compiled = tiny.experiment("vae", "digits", steps=20, compile=True)
    compiled |= {"binarisation": "dynamic"}
    run(prepared, tmp_path / "plain", plain)
    assert run(prepared, tmp_path / "a", compiled) == run(prepared, tmp_path / "b", compiled)
    ends = [load_file(tmp_path / name / "checkpoint.safetensors") for name in ("plain", "a")]
    for name, tensor in ends[0].items():
        torch.testing.assert_close(ends[1][name], tensor, rtol=1e-3, atol=1e-3)
    about = json.loads((tmp_path / "a" / "training.json").read_text())
    assert about["compiled"] is True


@pytest.mark.skipif(not compiler_found(), reason="no C++ compiler on this machine")
@pytest.mark.parametrize(("method", "optimiser"), [("iwae", "soap"), ("categorical_aae", "adam")])
def test_with_every_optimisation_on_the_bytes_are_the_same_each_time(
    prepared, tmp_path, monkeypatch, method, optimiser
):
    """Compiled, in bfloat16, on two threads, at widths at which products are shared among them."""
    with_bfloat16(monkeypatch, found=True)
    fast = {"compile": True, "precision": "bfloat16", "threads": 2, "batch": 128, "steps": 12}
    experiment = tiny.experiment(method, "digits", **fast)
    for name, settings in experiment["training"]["phases"].items():
        experiment["training"]["phases"][name] = settings | {"optimiser": optimiser}
    for part in ("encoder", "decoder"):
        experiment["model"][part] |= {"hidden": [256, 256]}
    first = run(prepared, tmp_path / "a", experiment)
    about = json.loads((tmp_path / "a" / "training.json").read_text())
    assert (about["compiled"], about["precision"], about["threads"]) == (True, "bfloat16", 2)
    torch.compiler.reset()  # what was compiled comes from the disk
    assert run(prepared, tmp_path / "b", experiment) == first


@pytest.mark.skipif(not compiler_found(), reason="no C++ compiler on this machine")
def test_bfloat16_and_compiled_training_reaches_the_likelihood_of_the_plain_float32_path(
    prepared, tmp_path, monkeypatch
):
    with_bfloat16(monkeypatch, found=True)
    model = tiny.MODEL | {"latent": 8, "output_bias": "data_mean"}
    model |= {"decoder": tiny.LAYERS | {"hidden": [32]}}
    model |= {"encoder": tiny.LAYERS | {"kind": "gaussian", "hidden": [32]}}
    phases = {"bound": tiny.ADAM | {"learning_rate": 1e-2, "betas": [0.9, 0.999]}}
    nll = {}
    for name, fast in {
        "plain": {"precision": "float32", "compile": False},
        "fast": {"precision": "bfloat16", "compile": True},
        "untrained": {"steps": 1},
    }.items():
        settings = {"replicas": 4, "batch": 50, "steps": 400, "phases": phases} | fast
        experiment = tiny.experiment("iwae", "digits", **settings) | {"model": model}
        experiment |= {"binarisation": "dynamic"}
        experiment |= {"evaluation": {"kind": "sampled", "importance_samples": 50}}
        run(prepared, tmp_path / name, experiment)
        evaluate(experiment, prepared / "digits.npz", tmp_path / name, "cpu")
        metrics = json.loads((tmp_path / name / "metrics.json").read_text())["metrics"]
        nll[name] = torch.tensor(metrics["nll"]["replicas"])
    # Each has its own path down; what they reach differs as replicas do.
    error = math.hypot(nll["plain"].std() / 2, nll["fast"].std() / 2)
    assert abs(nll["plain"].mean() - nll["fast"].mean()) < 3 * error
    assert nll["untrained"].mean() - nll["plain"].mean() > 30 * error  # else it would say nothing


def test_classes_of_data_that_have_none_are_refused(prepared, tmp_path):
    experiment = tiny.experiment("m2", "digits")
    unlabelled = replace(load(prepared / "digits.npz"), classes=1)
    with pytest.raises(AebayesError, match="digits has no classes to tell") as refusal:
        check_classes(experiment, unlabelled)
    assert "labelled" in refusal.value.remedy


def test_an_encoder_of_more_or_fewer_classes_than_its_labels_is_refused(prepared):
    experiment = tiny.experiment("categorical_aae", "digits")
    experiment["model"]["encoder"]["classes"] = 16
    dataset = load(prepared / "digits.npz")
    with pytest.raises(AebayesError, match=r"model.encoder.classes is 16, but digits has 10"):
        check_classes(experiment, dataset)
    del experiment["objective"]["labelled"]  # clusters may be as many as one likes
    check_classes(experiment, dataset)
