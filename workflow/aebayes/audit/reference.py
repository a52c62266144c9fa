"""Reference results: the copy of a study that its owner stands behind, and the way back from it.

results/reference/<study>/ has the study's own files and names, but for what git should not hold:
checkpoints, optimisers, large arrays, datasets. The manifest says of each that it is elsewhere; its
.dvc file, if there is a remote, leads there.
"""

import os
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from aebayes.audit.again import make_again
from aebayes.audit.audit import SOUND, Audit
from aebayes.audit.manifest import (
    ELSEWHERE,
    MANIFEST,
    SEAL,
    read_manifest,
    refuse_another_study,
    seal,
)
from aebayes.config import PUBLISHED, Study
from aebayes.errors import AebayesError, CannotWrite
from aebayes.files import abandoned, partial_of, sha256, write_bytes
from aebayes.records import Place
from aebayes.version import LARGE, default_remote, drop_damaged, pull

# The order in which Snakemake makes things: what is made later must look newer.
RULES = ("fetch", "prepare", "train", "evaluate", "table", "figure", "version")
NEW, OLD = "new", "old"  # of a folder's makings: what takes its place, and what was there


def promote(study: Study, folder: Path, reference: Path, root: Path = Path()) -> None:
    """Put a finished study in the place of its reference results, after a clean audit.

    Args:
        study: as the manifest's.
        folder: usually results/<study>.
        reference: usually results/reference/<study>; replaced as a whole.

    Raises:
        AebayesError: the audit is not clean, what is to be replaced is no reference results of this
            study, or a file cannot be written; what was there is then as it was.
    """
    clear_abandoned(reference)
    refuse_to_replace(reference, study, folder)
    audit = Audit.of(study, folder)
    make_again(audit, deep=False, say=lambda _: None)
    refuse_unclean(audit)
    manifest = audit.manifest
    if manifest["partial"]:
        raise AebayesError(
            f"{folder / MANIFEST} is of a part of the study",
            "finish the study, have its whole manifest written (python -m aebayes version), then "
            "promote it",
        )
    with_pointers = default_remote(root) is not None
    with folder_beside(reference) as temporary:
        new = temporary / NEW
        for key, entry in manifest["artefacts"].items():
            source = audit.place.path(key)
            if key.startswith("config/"):
                continue
            if not held(key, entry) or (key.endswith(".dvc") and not with_pointers):
                entry["kept"] = ELSEWHERE
                continue
            target = new / key
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            if sha256(target) != entry["sha256"]:
                raise AebayesError(f"{source} changed while it was copied", "start again")
        seal(manifest, new)
        replace_folder(new, reference, temporary / OLD)


@contextmanager
def folder_beside(target: Path) -> Iterator[Path]:
    """A temporary folder, in which to make what is then moved to `target`.

    Raises:
        AebayesError: it cannot be made, or what is done in it fails to write.
    """
    temporary = partial_of(target)
    try:
        temporary.mkdir(parents=True)
        try:
            yield temporary
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as problem:
        raise CannotWrite.to(target, problem) from problem


def clear_abandoned(target: Path) -> None:
    """Remove what processes that were killed left beside `target`; what they moved aside goes back.

    Raises:
        AebayesError: it cannot be written to.
    """
    try:
        for left in abandoned(target):
            if (left / OLD).exists() and not target.exists():
                os.replace(left / OLD, target)
            shutil.rmtree(left)
    except OSError as problem:
        raise CannotWrite.to(target, problem) from problem


def refuse_to_replace(reference: Path, study: Study, folder: Path) -> None:
    """Refuse a place for reference results where something else would be lost.

    Raises:
        AebayesError: it overlaps with the study itself, or something is there that is not, by a
            manifest beside it, part of reference results of this study.
    """
    ours, theirs = folder.resolve(), reference.resolve()
    elsewhere = "name a folder of its own for reference results: --reference"
    if ours == theirs or ours in theirs.parents or theirs in ours.parents:
        raise AebayesError(f"{reference} overlaps with the study itself, {folder}", elsewhere)
    if not reference.exists() or (reference.is_dir() and not any(reference.iterdir())):
        return
    move = f"move {reference} away, or {elsewhere}"
    manifest = read_manifest(reference, move)
    refuse_another_study(manifest, study, reference)
    for path in sorted(reference.rglob("*")):
        if path.is_file() and not held_by(manifest, path, reference):
            raise AebayesError(f"{path} is no part of reference results: it would be lost", move)


def held_by(manifest: dict, path: Path, reference: Path) -> bool:
    """Whether a file belongs to reference results: its own, or what DVC brought to its pointers."""
    key = path.relative_to(reference).as_posix()
    if key in (MANIFEST, SEAL) or key.startswith("audit/"):
        return True
    entry = manifest["artefacts"].get(key)
    if entry is None:
        return False
    if entry.get("kept") == ELSEWHERE:
        return right(path, entry)
    return not key.endswith(".safetensors")  # of which reference results hold none


def held(key: str, entry: dict) -> bool:
    """Whether reference results hold an artefact itself: what is small, and no data."""
    if key.startswith("data/"):
        return key.endswith(".json")
    return not key.endswith(".safetensors") and entry["size"] < LARGE


def refuse_unclean(audit: Audit) -> None:
    """Raise an AebayesError that names the first thing that an audit does not find sound."""
    problems = [
        f"{key} is {finding.status}: {finding.why}"
        for key, finding in audit.findings.items()
        if finding.status not in SOUND
    ]
    problems += [f"{step}: {why}" for step, why in audit.broken.items()]
    if problems:
        raise AebayesError(
            f"the audit of {audit.place.study} is not clean: {problems[0]}"
            + (f"; and {len(problems) - 1} more" if problems[1:] else ""),
            "see python -m aebayes audit, and run the pipeline until it is",
            status=1,
        )


def replace_folder(new: Path, target: Path, aside: Path) -> None:
    """Put a folder in another's place; that is moved aside first, and back if it goes wrong."""
    try:
        if target.exists():
            os.replace(target, aside)
        os.replace(new, target)
    except BaseException:  # Ctrl-C, too
        if aside.exists() and not target.exists():
            os.replace(aside, target)
        raise


def restore(
    study: Study,
    reference: Path,
    folder: Path,
    remote: str | None,
    root: Path,
    mirrors: Sequence[str] = (),
) -> None:
    """Bring a study's files back from its reference results and a DVC remote, without training.

    Files that are there and right stay, others of the same runs are replaced. Times are set so that
    Snakemake finds nothing to do.

    Args:
        reference: usually results/reference/<study>.
        folder: to restore to, usually results/<study>.
        remote: DVC's name of it; the default one if None.
        root: the project's folder.
        mirrors: where raw files may be fetched from, beside the environment's mirrors.

    Raises:
        AebayesError: no or broken reference results, or a run in `folder` that is not theirs:
            nothing is written then. Or files that can be had from nowhere or come back with other
            bytes; what was restored before stays, with times by which Snakemake makes the rest.
    """
    manifest = read_manifest(
        reference,
        "make reference results of the finished study: python -m aebayes promote; or name others: "
        "--reference",
    )
    refuse_another_study(manifest, study, reference)
    there, back = Place(reference, root), Place(folder, root)
    artefacts = manifest["artefacts"]
    refuse_own_runs(artefacts, back, reference)
    # Records and pointers first: they lead to the rest.
    for key, entry in artefacts.items():
        source = reference / key
        if not right(back.path(key), entry) and right(source, entry):
            write_bytes(back.path(key), source.read_bytes())
    wanted = [key for key, entry in artefacts.items() if not right(back.path(key), entry)]
    damaged = bring(artefacts, wanted, back, remote, root)
    make_data(manifest, wanted, back, root, mirrors)
    lacking = [
        key
        for key in wanted
        if not right(there.path(key), artefacts[key]) and not right(back.path(key), artefacts[key])
    ]
    if lacking:
        set_times(manifest, back, lacking)
        refuse_incomplete(lacking, damaged, back)
    for entry in artefacts.values():
        entry.pop("kept", None)
    seal(manifest, folder)
    set_times(manifest, back)


def bring(
    artefacts: dict, wanted: list[str], place: Place, remote: str | None, root: Path
) -> list[str]:
    """Have DVC bring what is wanted; of what, it has nothing but damaged copies."""
    for key in wanted:
        if place.path(key).is_file():
            # DVC knows a file by its time and size, and would leave what it once took for right.
            os.utime(place.path(key))
    damaged = []
    for _ in range(2):  # what was damaged in the cache may be right in the remote
        pull(pointers(place, wanted), remote, root)
        wanted = [key for key in wanted if not right(place.path(key), artefacts[key])]
        spoilt = drop_damaged(pointers(place, wanted), root)
        damaged = [key for key in wanted if spoilt.intersection(pointers(place, [key]))]
        for key in damaged:
            place.path(key).unlink(missing_ok=True)
        if not damaged:
            break
    return damaged


def refuse_incomplete(lacking: list[str], damaged: list[str], place: Place) -> None:
    """Name what did not come back.

    Raises:
        AebayesError: always.
    """
    nowhere = [str(place.path(key)) for key in lacking if key not in damaged]
    spoilt = [str(place.path(key)) for key in lacking if key in damaged]
    problems = []
    if nowhere:
        problems.append(f"can be had from nowhere: {', '.join(nowhere)}")
    if spoilt:
        problems.append(f"came with other bytes than they should have: {', '.join(spoilt)}")
    mend = ", or mend the remote (dvc push from where they are right)" if spoilt else ""
    raise AebayesError(
        f"not all is back ({len(lacking)} missing): " + "; ".join(problems),
        f"name a remote that has them (--remote NAME){mend}, and restore again: what is right "
        "stays; or run the pipeline, which makes them and what comes of them",
    )


def refuse_own_runs(artefacts: dict, back: Place, reference: Path) -> None:
    """Refuse to write over a run whose record is no copy of the reference's: it was trained here.

    Raises:
        AebayesError: there is one.
    """
    for key, entry in artefacts.items():
        path = back.path(key)
        if path.name == "training.json" and path.is_file() and not right(path, entry):
            raise AebayesError(
                f"{path} is not that of {reference}: the run was trained here, or it is spoilt",
                f"move {back.study} away, or restore to another folder: --folder",
            )


def right(path: Path, entry: dict) -> bool:
    """Whether a file is there with the bytes of the manifest."""
    return path.is_file() and sha256(path) == entry["sha256"]


def pointers(place: Place, keys: Iterable[str]) -> list[Path]:
    """The .dvc files, beside what is wanted or the folder that it lies in."""
    found = {}
    for key in keys:
        path = place.path(key)
        for pointed in (path, path.parent):
            pointer = pointed.with_name(f"{pointed.name}.dvc")
            if pointer.is_file():
                found[pointer] = None
    return list(found)


def make_data(
    manifest: dict, wanted: list[str], place: Place, root: Path, mirrors: Sequence[str]
) -> None:
    """Fetch and prepare what DVC did not bring of datasets: the same bytes everywhere."""
    from aebayes.data.fetch import fetch
    from aebayes.data.prepare import prepare

    for name, step in manifest["steps"].items():
        missing = [
            key
            for key in step["outputs"]
            if key in wanted and not right(place.path(key), manifest["artefacts"][key])
        ]
        if step["rule"] == "fetch" and missing:
            fetch(step["parameters"]["dataset"], root / "data" / "raw", mirrors)
        elif step["rule"] == "prepare" and missing:
            dataset = name.partition(" ")[2]
            out = root / "data" / "processed"
            made = (out / f"{dataset}.{kind}" for kind in ("npz", "json"))
            prepare(dataset, root / "data" / "raw", *made)


def set_times(manifest: dict, place: Place, stale: Sequence[str] = ()) -> None:
    """Make every artefact that is there look newer than what it was made from.

    Args:
        stale: those that are to look old, so that they are made again.
    """
    # Tables are made from the published values, too, which came with the code.
    now = max(time.time(), PUBLISHED.stat().st_mtime)
    for key, entry in manifest["artefacts"].items():
        step = manifest["steps"].get(entry["step"], {})
        if "rule" in step and not key.endswith(".dvc") and place.path(key).is_file():
            moment = 0 if key in stale else now + 0.01 * order(manifest, entry["step"])
            os.utime(place.path(key), (moment, moment))
    for name in (MANIFEST, SEAL):
        if (place.study / name).is_file():
            os.utime(place.study / name, (now + 1, now + 1))


def order(manifest: dict, name: str) -> int:
    """How late a step comes: after all whose outputs it reads."""
    step = manifest["steps"][name]
    before = {manifest["artefacts"][key]["step"] for key in step.get("inputs", {})} - {None, name}
    own = RULES.index(step["rule"])
    return max([own, *(order(manifest, other) + 1 for other in before)])
