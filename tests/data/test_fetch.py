import errno
import gzip
import io
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from aebayes.data import DATASETS, mnist
from aebayes.data.fetch import Receiver, at_hand, fetch
from aebayes.errors import AebayesError


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return tmp_path / "raw"


def failure(*arguments: object) -> AebayesError:
    with pytest.raises(AebayesError) as caught:
        fetch(*arguments)
    return caught.value


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_directory_mirror_gives_the_unpacked_files(tiny, raw, tmp_path):
    paths = fetch("tiny", raw, [str(tiny.fill(tmp_path / "mirror"))])
    assert paths == [raw / "tiny" / "images", raw / "tiny" / "labels"]
    assert [path.read_bytes() for path in paths] == [tiny.images, tiny.labels]
    assert names(raw / "tiny") == ["images", "labels"]


def test_at_hand_is_what_lies_in_its_own_folder_or_a_mirrors(tiny, raw, tmp_path, monkeypatch):
    mirror = tiny.fill(tmp_path / "mirror")
    assert not at_hand("tiny", raw)
    assert not at_hand("tiny", raw, ["https://mirror.example.org/data"])  # not asked
    assert at_hand("tiny", raw, [str(mirror)])
    monkeypatch.setenv("AEBAYES_MIRRORS", str(mirror))
    assert at_hand("tiny", raw)
    (mirror / "tiny" / "labels").unlink()
    assert not at_hand("tiny", raw)
    (raw / "tiny").mkdir(parents=True)
    (raw / "tiny" / "labels").write_bytes(tiny.labels)
    assert not at_hand("tiny", raw)  # one here, one there: nowhere all
    (raw / "tiny" / "images").write_bytes(tiny.images)
    assert at_hand("tiny", raw)
    assert at_hand("four_points", raw)  # made: it has no raw files


def test_a_shared_folder_of_the_datasets_own_name_is_looked_into_once(tmp_path, no_way_out):
    tried = failure("celeba", tmp_path / "raw", [str(tmp_path / "mirror")]).problem
    assert tried.count(str(tmp_path / "mirror" / "celeba" / "img_align_celeba.zip")) == 1


def test_a_shared_folder_is_named_where_a_mirror_lacks_the_files(tmp_path, no_way_out):
    remedy = failure("celeba_10k_32", tmp_path / "raw", [str(tmp_path / "mirror")]).remedy
    assert "or celeba/celeba_10000_89x109.zip)" in remedy


def test_http_mirror_gives_the_same_bytes(tiny, raw, tmp_path, serve):
    paths = fetch("tiny", raw, [serve(tiny.fill(tmp_path / "mirror"))], True)
    assert [path.read_bytes() for path in paths] == [tiny.images, tiny.labels]


def test_archives_compressed_differently_give_the_same_bytes(tiny, raw, tmp_path):
    mirror = tiny.fill(tmp_path / "mirror", gzip.compress(tiny.images, 1, mtime=7))
    assert fetch("tiny", raw, [str(mirror)])[0].read_bytes() == tiny.images


@pytest.mark.parametrize("headers", [{}, {"Content-Encoding": "gzip"}])
def test_server_that_unpacks_or_declares_the_encoding_is_understood(tiny, raw, serve, headers):
    body = gzip.compress(tiny.images) if headers else tiny.images
    (raw / "tiny").mkdir(parents=True)
    (raw / "tiny" / "labels").write_bytes(tiny.labels)
    assert fetch("tiny", raw, [serve(body=body, headers=headers)])[0].read_bytes() == tiny.images


def test_unpacked_files_of_another_project_are_a_mirror(tiny, raw, tmp_path):
    fetch("tiny", raw, [str(tiny.fill(tmp_path / "mirror"))])
    assert fetch("tiny", tmp_path / "second", [str(raw)])[0].read_bytes() == tiny.images


def test_second_mirror_is_used_when_the_first_has_wrong_bytes(tiny, raw, tmp_path, serve, caplog):
    wrong = tiny.fill(tmp_path / "wrong", gzip.compress(tiny.images[:-1] + b"!"))
    right = tiny.fill(tmp_path / "right")
    paths = fetch("tiny", raw, [str(wrong), serve(right)])
    assert paths[0].read_bytes() == tiny.images
    warnings = [entry.message for entry in caplog.records if entry.levelname == "WARNING"]
    assert len(warnings) == 1
    assert str(wrong) in warnings[0] and "wrong content" in warnings[0]


def test_mirrors_of_the_environment_come_after_those_of_the_config(
    tiny, raw, tmp_path, monkeypatch, caplog
):
    named, first = tiny.fill(tmp_path / "of environment"), tmp_path / "of config"
    monkeypatch.setenv("AEBAYES_MIRRORS", f" {tmp_path / 'nothing'} ,, {named}")
    fetch("tiny", raw, [str(first)])
    tried = [entry.message.split(":")[0] for entry in caplog.records if "images" in entry.message]
    assert tried[0].startswith(str(first))
    assert tried[1].startswith(str(tmp_path / "nothing"))


def test_official_address_is_the_last_resort(tiny, raw, tmp_path, serve, monkeypatch):
    url = serve(tiny.fill(tmp_path / "official"))
    recipe = DATASETS["tiny"]
    for file in recipe.files:
        object.__setattr__(file, "addresses", (f"{url}/tiny/{file.served}",))
    assert fetch("tiny", raw)[0].read_bytes() == tiny.images


@pytest.mark.parametrize("pack", [gzip.compress, bytes])
def test_bytes_that_come_one_by_one_give_the_same_file(tiny, tmp_path, pack):
    with (tmp_path / "images").open("wb") as out:
        receiver = Receiver(DATASETS["tiny"].files[0], tmp_path / "images", out)
        for byte in pack(tiny.images):
            receiver.write(bytes([byte]))
        receiver.finish()
    assert (tmp_path / "images").read_bytes() == tiny.images


def test_archive_put_into_the_raw_folder_is_unpacked_and_kept(tiny, raw):
    tiny.fill(raw)
    assert fetch("tiny", raw)[0].read_bytes() == tiny.images
    assert names(raw / "tiny") == ["images", "images.gz", "labels"]


def test_fetching_again_touches_nothing_and_needs_no_source(tiny, raw, tmp_path):
    paths = fetch("tiny", raw, [str(tiny.fill(tmp_path / "mirror"))])
    for path in paths:
        os.utime(path, (1, 1))
    assert fetch("tiny", raw) == paths
    assert [path.stat().st_mtime for path in paths] == [1, 1]


def test_damaged_raw_file_is_replaced(tiny, raw, tmp_path, caplog):
    mirror = str(tiny.fill(tmp_path / "mirror"))
    path = fetch("tiny", raw, [mirror])[0]
    path.write_bytes(tiny.images[:-3])
    fetch("tiny", raw, [mirror])
    assert path.read_bytes() == tiny.images
    assert "wrong content" in caplog.text


def test_without_mirror_and_network_one_error_names_every_source_and_the_remedy(
    tiny, raw, tmp_path, no_way_out, serve
):
    (tmp_path / "empty").mkdir()
    empty = serve(tmp_path / "empty")
    error = failure("tiny", raw, [str(tmp_path / "absent"), empty, "ftp://127.0.0.1/data"])
    tried = error.problem.splitlines()
    assert "images" in tried[0] and "tiny" in tried[0]
    assert str(raw / "tiny" / "images") in tried[1] and "No such file" in tried[1]
    assert str(tmp_path / "absent") in tried[2] and "No such file" in tried[2]
    assert empty in tried[3] and "404" in tried[3]
    assert "ftp://" in tried[4] and "neither a directory nor an http(s) URL" in tried[4]
    assert no_way_out in tried[5] and "Connection refused" in tried[5]
    assert len(tried) == 6
    for remedy in ("AEBAYES_MIRRORS", str(raw / "tiny"), "images.gz", "internet"):
        assert remedy in error.remedy
    assert not (raw / "tiny").exists()


@pytest.mark.parametrize("kept", [0, 1, 2, 9, 30, -8, -1])
def test_truncated_archive_ends_with_one_clear_error(tiny, raw, tmp_path, kept):
    whole = gzip.compress(tiny.images)
    mirror = tiny.fill(tmp_path / "mirror")
    (mirror / "tiny" / "images.gz").write_bytes(whole[:kept])
    error = failure("tiny", raw, [str(mirror)])
    assert str(mirror / "tiny" / "images.gz") in error.problem
    assert "cut short" in error.problem or "wrong content" in error.problem
    assert not (raw / "tiny").exists()


def test_damaged_archive_is_refused(tiny, raw, tmp_path):
    archive = bytearray(gzip.compress(tiny.images))
    archive[-6] ^= 1  # in the checksum
    error = failure("tiny", raw, [str(tiny.fill(tmp_path / "mirror", bytes(archive)))])
    assert "damaged gzip stream" in error.problem


def test_download_cut_short_is_refused(tiny, raw, serve):
    body = gzip.compress(tiny.images)
    url = serve(body=body[:20], headers={"Content-Length": str(len(body))})
    error = failure("tiny", raw, [url])
    assert url in error.problem and "20 bytes read" in error.problem
    assert not (raw / "tiny").exists()


def test_decompression_bomb_is_stopped_at_the_known_size(tiny, raw, tmp_path):
    mirror = tiny.fill(tmp_path / "mirror", gzip.compress(bytes(50_000_000)))
    tracemalloc.start()
    error = failure("tiny", raw, [str(mirror)])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert f"more than the {len(tiny.images)} bytes expected" in error.problem
    assert peak < 5_000_000


@pytest.mark.parametrize(
    "body", [bytes(5_000_000), gzip.compress(b"")[:10] + b"\0\0\0\xff\xff" * 1_000_000]
)
def test_endless_answer_is_stopped(tiny, raw, serve, body):
    error = failure("tiny", raw, [serve(body=body)])
    assert f"more than the {len(tiny.images)} bytes expected" in error.problem


def test_wrong_ungzipped_file_is_refused(tiny, raw, tmp_path):
    mirror = tiny.fill(tmp_path / "mirror")
    (mirror / "tiny" / "labels").write_bytes(gzip.compress(tiny.labels))
    error = failure("tiny", raw, [str(mirror)])
    assert "labels" in error.problem.splitlines()[0]
    assert names(raw / "tiny") == ["images"]  # what was already right stays


def test_partial_file_of_a_killed_run_is_neither_used_nor_removed(tiny, raw, tmp_path):
    (raw / "tiny").mkdir(parents=True)
    partial = raw / "tiny" / ".images.1.partial"
    partial.write_bytes(tiny.images[:10])
    path = fetch("tiny", raw, [str(tiny.fill(tmp_path / "mirror"))])[0]
    assert path.read_bytes() == tiny.images
    assert partial.read_bytes() == tiny.images[:10]


def test_interrupted_download_leaves_nothing_that_looks_whole(tiny, raw, tmp_path, monkeypatch):
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    mirror = tiny.fill(tmp_path / "mirror")
    monkeypatch.setattr("aebayes.data.fetch.Receiver.finish", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch("tiny", raw, [str(mirror)])
    assert list((raw / "tiny").iterdir()) == []


def test_folder_that_cannot_be_written_is_named_and_no_source_blamed(tiny, tmp_path):
    (tmp_path / "raw").write_text("a file where the folder should be")
    error = failure("tiny", tmp_path / "raw", [str(tiny.fill(tmp_path / "mirror"))])
    assert error.problem.startswith(f"cannot write {tmp_path / 'raw'}")


def test_full_disk_is_not_blamed_on_the_source(tiny, raw, tmp_path, monkeypatch):
    class Full(io.BytesIO):
        def write(self, content: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", _opening(Full()))
    error = failure("tiny", raw, [str(tiny.fill(tmp_path / "mirror"))])
    assert error.problem == f"cannot write {raw / 'tiny' / 'images'}: No space left on device"


def _opening(file: io.IOBase) -> object:
    """A stand-in for `Path.open` that gives `file` for a partial file opened to write."""
    real = Path.open

    def stand_in(path: Path, mode: str = "r", *arguments: object, **options: object) -> object:
        hidden = path.name.startswith(".") and mode == "wb"
        return file if hidden else real(path, mode, *arguments, **options)

    return stand_in


@pytest.mark.parametrize("name", ["four_points", "digits"])
def test_dataset_without_raw_files_needs_no_fetching(name, raw):
    assert fetch(name, raw) == []
    assert not raw.exists()


def test_unknown_dataset_is_told_the_known_ones(raw):
    error = failure("minst", raw)
    assert "'minst'" in error.problem
    assert all(name in error.remedy for name in ("four_points", "digits", "mnist"))


def test_mnist_without_any_source_names_both_official_hosts(raw):
    assert [url.split("/")[2] for url in mnist.FILES[0].addresses] == [
        "ossci-datasets.s3.amazonaws.com",
        "yann.lecun.com",
    ]
    error = failure("mnist", raw)
    assert "train-images-idx3-ubyte" in error.problem and "Connection refused" in error.problem


def test_fetching_and_preparing_import_no_torch(tmp_path):
    program = (
        "import sys; from pathlib import Path;"
        "from aebayes.data.fetch import fetch; from aebayes.data.prepare import prepare;"
        "from aebayes.data.dataset import load;"
        "fetch('digits', Path('raw'));"
        "prepare('digits', Path('raw'), Path('digits.npz'), Path('digits.json'));"
        "load(Path('digits.npz'));"
        "sys.exit(' '.join({'torch', 'torchvision'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
