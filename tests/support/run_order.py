"""In which order files are run: those of few long tests first, those of many short ones last.

Several processes share the suite, a file at a time. A long file that begins last keeps one of them
busy when the others have nothing left; of short ones none ends much later than another.
"""

from typing import Final

# Beginnings of node ids; an item belongs to the first that it has. Each group's files have shorter
# tests than those of the groups before it.
LONGEST_FIRST: Final = (
    "tests/deploy/test_installed",  # a machine that takes a minute to set up, and a dozen restarts
    "tests/system/test_",  # whole installations, `make run`
    "tests/faults/",
    "tests/growth/",
    "tests/adversary/",
    "tests/system/",
    "",
)


def place(node_id: str) -> int:
    """Return the place of a test's group: a smaller one runs earlier."""
    return next(number for number, group in enumerate(LONGEST_FIRST) if node_id.startswith(group))
