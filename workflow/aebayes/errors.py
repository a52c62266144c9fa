"""The one kind of error a user sees: what is wrong, where, and what to do about it."""

import os
import re


class AebayesError(Exception):
    """Bad input: a config key, a file, a download, a checkpoint.

    The command line prints it as `error: PROBLEM` and `remedy: REMEDY`, and exits with `status`.
    """

    def __init__(self, problem: str, remedy: str, status: int = 2):
        super().__init__(problem, remedy, status)  # by which it comes from another process
        self.problem = problem
        self.remedy = remedy
        self.status = status

    def __str__(self) -> str:
        return f"{self.problem}\nremedy: {self.remedy}"


class CannotWrite(AebayesError):
    """A file cannot be written: the folder, the disk or the system refuses it."""

    @classmethod
    def to(cls, path: os.PathLike, problem: OSError) -> "CannotWrite":
        """Of what the system said of it."""
        return cls(
            f"cannot write {path}: {problem.strerror or problem}",
            "see that the folder is writable and the disk has room, then start again",
        )


class Interrupted(AebayesError):
    """Training stopped before its last step, its state saved: the next start goes on from there."""


def as_typed(remedy: str) -> str:
    """A remedy whose commands begin with `uv run` where that started this process."""
    if "UV" not in os.environ:
        return remedy
    return re.sub(r"\b(python -m aebayes|dvc checkout)\b", r"uv run \1", remedy)
