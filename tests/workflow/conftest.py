import shutil
from pathlib import Path

import pytest
from filelock import FileLock
from projects import Project, make_project, study


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Project:
    """A project in which `snakemake --cores 8 all` has ended well; each worker has a copy."""
    own = tmp_path_factory.mktemp("workflow")
    shared = own if worker_id == "master" else tmp_path_factory.getbasetemp().parent
    with FileLock(shared / "finished.lock"):
        made = finish(shared / "finished")
    return made.copy(own / "eight")


def finish(folder: Path) -> Project:
    """The finished project in `folder`, made there unless another worker has done so."""
    ended = folder.with_suffix(".ended")
    if ended.exists():
        return Project(folder)
    shutil.rmtree(folder, ignore_errors=True)  # of a worker whose run failed
    project = make_project(folder, study())
    done = project.snakemake("all")
    assert done.returncode == 0, done.stdout + done.stderr
    ended.touch()
    return project
