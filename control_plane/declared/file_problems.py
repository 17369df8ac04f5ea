"""Where in which file something is wrong. No problem quotes what stands there."""

from collections.abc import Iterable, Mapping
from typing import Final

from attrs import frozen

from control_plane.reading.repeated_names import pointer
from shared.safe_message import SafeMessage

MAX_NAMED_PROBLEMS: Final = 50  # a file of another kind is wrong in every line

ValueWay = tuple[str, ...]  # the names and indexes that lead to a value


@frozen
class FilePlace:
    """A line of a file; JSON has no lines."""

    file: str
    line: int | None = None

    def __str__(self) -> str:
        """Return it as compilers name lines."""
        return self.file if self.line is None else f"{self.file}:{self.line}"


Places = Mapping[ValueWay, FilePlace]


@frozen
class FileProblem:
    """What is wrong, and where."""

    place: FilePlace
    way: ValueWay
    detail: str

    def __str__(self) -> str:
        """Return a line for people."""
        at = "".join(map(pointer, self.way))
        return f"{self.place}: {at}: {self.detail}" if at else f"{self.place}: {self.detail}"


class WrongFilesError(SafeMessage, ValueError):
    """The files are not read: every problem is named, and nothing of the files is quoted."""

    def __init__(self, problems: Iterable[FileProblem]) -> None:
        """Hold the problems."""
        self.problems = tuple(dict.fromkeys(problems))
        named = [str(each) for each in self.problems[:MAX_NAMED_PROBLEMS]]
        more = len(self.problems) - len(named)
        super().__init__("\n".join([*named, *([f"and {more} more"] if more else [])]))


def nearest_place(places: Places, way: ValueWay) -> FilePlace:
    """Return where a value stands, or what it would be in."""
    for end in range(len(way), -1, -1):
        if (found := places.get(way[:end])) is not None:
            return found
    return FilePlace("the files")
