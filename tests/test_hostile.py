"""Parsers on files that somebody spoilt: one clear error or a right reading, in bounded memory."""

import functools
import io
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from projects import make_project
from scipy.io import savemat
from tiny import study

from aebayes.audit.manifest import read_manifest
from aebayes.config import Study, load_study
from aebayes.data import recipe_of
from aebayes.data.idx import read_idx
from aebayes.data.lfwcrop import FACES
from aebayes.data.mat import read_mat_array
from aebayes.data.mnist_fixed import LINE, read_amat
from aebayes.errors import AebayesError
from aebayes.files import read_json, read_npz, write_npz
from aebayes.tables.measurements import read_run
from aebayes.tensors import UNREADABLE, load_tensors, save_tensors

MOST_MEMORY = 64 << 20  # bytes, for files of a few thousand


@dataclass(frozen=True)
class Parser:
    """One of ours.

    Args:
        name: of the file that it reads.
        good: a content that it takes.
        read: from the file's path.
        refusal: what it raises on others, by its docstring.
    """

    name: str
    good: Callable[[Path], bytes]
    read: Callable[[Path], object]
    refusal: tuple[type[BaseException], ...] = (AebayesError,)


def saved(write: Callable[[Path], object]) -> Callable[[Path], bytes]:
    """The bytes that a function writes to a path."""

    def content(folder: Path) -> bytes:
        write(folder / "good")
        return (folder / "good").read_bytes()

    return content


def faces(path: Path) -> None:
    """An archive of a face, one with a path that leads out, and one with an absolute path."""
    picture = io.BytesIO()
    Image.fromarray(np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)).save(picture, "PNG")
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("faces/Someone_0001.png", "../out_0001.png", "/tmp/out_0001.png"):
            archive.writestr(name, picture.getvalue())


def metrics(path: Path) -> None:
    """A run's metrics."""
    entry = '{"unit": "1", "replicas": [1.0, 2.0], "mean": 1.5, "sd": 0.7}'
    about = '"experiment": "vae-digits", "method": "vae", "dataset": "digits"'
    evaluation = '"evaluation": {"kind": "sampled", "importance_samples": 5}'
    path.write_text(f'{{{about}, {evaluation}, "metrics": {{"nll": {entry}}}}}')


@functools.cache
def whole_study() -> Study:
    """The tiny study, read once: that takes longer than all else here."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "tiny.yaml"
        path.write_text(yaml.safe_dump(study()))
        return load_study(str(path))


def read_metrics(path: Path) -> object:
    """As a table reads them."""
    run = path.parent / "runs" / "vae-digits" / "metrics.json"
    run.parent.mkdir(parents=True, exist_ok=True)
    run.write_bytes(path.read_bytes())
    return read_run(whole_study(), "vae-digits", path.parent / "runs")


def read_sealed(path: Path) -> object:
    """A manifest, beside a seal that no longer fits unless nothing was changed."""
    path.with_name("manifest.sha256").write_text("0" * 64 + "  manifest.json\n")
    return read_manifest(path.parent)


TENSORS = {"weight": torch.arange(6.0).view(2, 3), "count": torch.tensor(3)}
PARSERS = [
    Parser("idx", lambda _: struct.pack(">4B2I", 0, 0, 8, 2, 2, 3) + bytes(6), read_idx),
    Parser("a.npz", saved(lambda p: write_npz(p, {"x": np.arange(5), "y": np.eye(2)})), read_npz),
    Parser(
        "a.safetensors",
        saved(lambda p: save_tensors(p, TENSORS, {"experiment": {}, "replicas": [0]})),
        lambda path: load_tensors(path, {"experiment"}),
        UNREADABLE,
    ),
    Parser(
        "a.mat",
        saved(lambda p: savemat(p, {"data": np.eye(4), "other": "text"}, appendmat=False)),
        lambda path: read_mat_array(path, "data", (None, None)),
        (ValueError,),
    ),
    Parser("faces.zip", saved(faces), lambda path: list(FACES.read(path)), (ValueError,)),
    Parser("a.amat", lambda _: (b"0 1 " * (LINE // 4))[:-1] + b"\n", lambda p: read_amat(p, 1)),
    Parser("a.yaml", lambda _: yaml.safe_dump(study()).encode(), lambda p: load_study(str(p))),
    Parser("a.json", lambda _: b'{"a": [1, 2.5, null], "b": {"c": "d"}}', read_json),
    Parser("metrics.json", saved(metrics), read_metrics),
    Parser("manifest.json", lambda _: b'{"study": "tiny", "artefacts": {}}', read_sealed),
]


@st.composite
def spoiling(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """A way to spoil a file: bytes changed, put in or cut away, or numbers made absurd."""
    kinds = ("flip", "cut", "insert", "huge", "replace")
    changes = draw(
        st.lists(
            st.tuples(st.sampled_from(kinds), st.floats(0, 1), st.binary(min_size=1, max_size=16)),
            min_size=1,
            max_size=4,
        )
    )

    def spoil(content: bytes) -> bytes:
        for kind, share, extra in changes:
            at = int(share * len(content))
            if kind == "flip" and at < len(content):
                content = content[:at] + bytes([content[at] ^ extra[0]]) + content[at + 1 :]
            elif kind == "cut":
                content = content[:at]
            elif kind == "insert":
                content = content[:at] + extra + content[at:]
            elif kind == "huge":
                content = content[:at] + b"\xff" * len(extra) + content[at + len(extra) :]
            elif kind == "replace":
                content = content[:at] + extra + content[at + len(extra) :]
        return content

    return spoil


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
def test_parser_takes_a_file_as_it_should_be(parser, tmp_path):
    path = tmp_path / parser.name
    path.write_bytes(parser.good(tmp_path))
    if parser.name == "manifest.json":
        with pytest.raises(AebayesError, match="seals"):
            parser.read(path)
    else:
        assert parser.read(path) is not None


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(spoil=spoiling())
def test_spoilt_file_is_read_or_refused_in_bounded_memory(parser, tmp_path, spoil):
    path = tmp_path / parser.name
    path.write_bytes(spoil(parser.good(tmp_path)))
    tracemalloc.start()
    try:
        parser.read(path)
    except parser.refusal as problem:
        assert str(problem)
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < MOST_MEMORY


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(text=st.text(max_size=200))
@pytest.mark.filterwarnings("ignore")
def test_any_text_is_a_study_or_is_refused(text, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(AebayesError):
        load_study(str(path))


def test_archive_with_paths_that_lead_out_writes_nothing(tmp_path):
    archive = tmp_path / "inner" / "deep" / "faces.zip"
    archive.parent.mkdir(parents=True)
    faces(archive)
    before = sorted(tmp_path.rglob("*"))
    assert [name for name, _ in FACES.read(archive)] == ["Someone_0001"]
    assert sorted(tmp_path.rglob("*")) == before


def test_link_in_an_archive_is_no_picture(tmp_path):
    archive = tmp_path / "faces.zip"
    link = zipfile.ZipInfo("faces/Someone_0001.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(link, "/etc/passwd")
    with pytest.raises(ValueError, match="not a readable PNG or PPM"):
        list(FACES.read(archive))


BAD_NAMES = ("a;touch pwned", "$(touch pwned)", "`touch pwned`", "../up", "a b", "a'b", 'a"b', "-x")


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("where", ["study", "experiment", "dataset"])
def test_names_with_shell_metacharacters_are_refused(name, where, tmp_path):
    content = study()
    if where == "study":
        content["name"] = name
    elif where == "experiment":
        content["experiments"][name] = content["experiments"].pop("vae-digits")
    else:
        content["experiments"]["vae-digits"]["dataset"] = name
        content["datasets"][name] = content["datasets"].pop("digits")
    path = tmp_path / "hostile.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(AebayesError) as caught:
        for dataset in load_study(str(path)).datasets:
            recipe_of(dataset)  # as the Snakefile does before any rule is made
    assert "hostile.yaml" in str(caught.value) or repr(name) in str(caught.value)


@pytest.mark.slow
def test_metacharacters_in_the_studys_path_and_in_mirrors_are_not_executed(tmp_path):
    project = make_project(tmp_path / "project", study())
    path = project.folder / "$(touch pwned);`touch pwned` '\" &.yaml"
    (project.folder / "tiny.yaml").rename(path)
    config = project.folder / "config/config.yaml"
    content = yaml.safe_load(config.read_text()) | {"study": path.name}
    content["mirrors"] = ["$(touch pwned)", "a'; touch pwned; '", "`touch pwned`"]
    config.write_text(yaml.safe_dump(content))
    done = project.command(
        "env", "snakemake", "--cores", "2", "results/tiny/runs/vae-digits/checkpoint.safetensors"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not list(project.folder.rglob("pwned"))
