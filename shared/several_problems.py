"""An error that names everything that is wrong with one text, not only what was found first."""

from collections.abc import Iterable


class SeveralProblemsError(ValueError):
    """A text is wrong in one way or in several; `problems` has a sentence for each.

    The sentences are shown to whoever gave the text, and never quote it.
    """

    def __init__(self, *problems: str) -> None:
        """Hold the sentences; there is at least one."""
        super().__init__("; ".join(problems))
        self.problems = problems


def require_none(problems: Iterable[str]) -> None:
    """Raise `SeveralProblemsError` if there is any problem."""
    if found := tuple(problems):
        raise SeveralProblemsError(*found)


def problems_of(error: ValueError) -> tuple[str, ...]:
    """Return what a parser's error says: its several sentences, or its one message."""
    return error.problems if isinstance(error, SeveralProblemsError) else (str(error),)
