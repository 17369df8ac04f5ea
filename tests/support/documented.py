"""Configurations of `docs/clients.md`, so that what the page says is what is tested.

A block names its file in its first line, as a comment.
"""

import re
from collections.abc import Mapping
from typing import Final

from deploy.dev.debian import REPOSITORY

README: Final = REPOSITORY / "docs" / "clients.md"
_BLOCK: Final = re.compile(r"^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_SECTION: Final = re.compile(r"^## Clients\n(?P<text>.*?)^## ", re.MULTILINE | re.DOTALL)
_NAME: Final = re.compile(r"# (?P<name>/\S+)\n")


def blocks(language: str) -> list[str]:
    """Return all blocks of the section on clients in a language, such as `toml`."""
    section = _SECTION.search(README.read_text("utf-8"))
    assert section is not None
    found = _BLOCK.finditer(section["text"])
    return [block["text"] for block in found if block["language"] == language]


def documented(name: str, language: str, values: Mapping[str, str]) -> str:
    """Return the block of a file, with a test's values in place of the example's.

    Every value must have a place. A longer example is replaced before one that it contains.
    """
    [text] = [
        block
        for block in blocks(language)
        if (named := _NAME.match(block)) and named["name"] == name
    ]
    for example in sorted(values, key=len, reverse=True):
        assert example in text, example
        text = text.replace(example, values[example])
    return text
