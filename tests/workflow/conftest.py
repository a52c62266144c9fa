import pytest
from projects import Project, make_project, study


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project in which `snakemake --cores 8 all` has ended well."""
    project = make_project(tmp_path_factory.mktemp("workflow") / "eight", study())
    done = project.snakemake("all")
    assert done.returncode == 0, done.stdout + done.stderr
    return project
