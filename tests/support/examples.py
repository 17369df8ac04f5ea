"""The examples of the pages: fenced blocks, and the commands in them and in running text."""

import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Self

from attrs import frozen

from deploy.dev.debian import REPOSITORY

_BLOCK: Final = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE: Final = re.compile(r"`(?P<text>[^`]+)`")
_ASSIGNED: Final = re.compile(r"(?P<name>[A-Z][A-Z0-9_]*)=(?P<value>.*)", re.DOTALL)
_SHELLS: Final = frozenset({"console", "sh"})


@frozen
class Example:
    """One fenced block of a page."""

    page: str
    language: str
    text: str

    @property
    def is_shell(self) -> bool:
        """Tell whether it is typed into a shell."""
        return self.language in _SHELLS

    def __str__(self) -> str:
        """Return what a test is called by."""
        return f"{self.page}: {self.text.strip().partition(chr(10))[0][:60]}"


@frozen
class TypedCommand:
    """A command of a line, with what is set for it alone, and the file that it prints to."""

    variables: Mapping[str, str]
    words: tuple[str, ...]
    printed_to: str | None = None

    @classmethod
    def of(cls, words: list[str]) -> Self:
        """Return it, without the assignments before it."""
        variables = {}
        while words and (assigned := _ASSIGNED.fullmatch(words[0])):
            variables[assigned["name"]] = assigned["value"]
            words = words[1:]
        if words[-2:-1] == ["<"]:
            words = words[:-2]
        if words[-2:-1] == [">"]:
            return cls(variables, tuple(words[:-2]), words[-1])
        return cls(variables, tuple(words))

    @property
    def program(self) -> str:
        """Return the program's name, wherever it lies; of an assignment alone, nothing."""
        return Path(self.words[0]).name if self.words else ""


def pages() -> list[Path]:
    """Return every page that git knows."""
    command = ["git", "ls-files", "-co", "--exclude-standard", "*.md"]
    listed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return [REPOSITORY / line for line in listed.stdout.splitlines()]


def examples(page: Path) -> list[Example]:
    """Return the blocks of a page."""
    name = str(page.relative_to(REPOSITORY))
    found = _BLOCK.finditer(page.read_text("utf-8"))
    return [Example(name, block["language"], block["text"]) for block in found]


def example(page: str, beginning: str) -> Example:
    """Return the one block of a page that begins so."""
    [found] = [
        block for block in examples(REPOSITORY / page) if block.text.lstrip().startswith(beginning)
    ]
    return found


def commands(text: str) -> Iterator[TypedCommand]:
    """Yield the commands of a shell's text, `export` among them; comments are left out."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words:
            end = words.index("&&") if "&&" in words else len(words)
            yield TypedCommand.of(words[:end])
            words = words[end + 1 :]


def commands_in_running_text(page: Path, programs: frozenset[str]) -> Iterator[TypedCommand]:
    """Yield what stands between backticks and begins with one of the programs and a word."""
    for found in _INLINE.finditer(_BLOCK.sub("", page.read_text("utf-8"))):
        program, _, rest = found["text"].partition(" ")
        if program in programs and rest[:1].isalpha():
            yield TypedCommand.of(shlex.split(" ".join(found["text"].split())))
