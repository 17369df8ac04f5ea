"""Which schema revision this program works with, without loading the tool that migrates."""

import re
from functools import cache
from pathlib import Path
from typing import Final

_REVISION_FILE: Final = re.compile(r"r([0-9]{4})_\w+\.py")


@cache
def newest_revision() -> str:
    """Return the highest number of `revisions/rNNNN_name.py`: they follow one another."""
    files = (Path(__file__).parent / "revisions").iterdir()
    matches = (_REVISION_FILE.fullmatch(file.name) for file in files)
    return max(match[1] for match in matches if match)
