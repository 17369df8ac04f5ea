"""What is left to the garbage collector: our frames, and objects that hold each other.

A frame that only the collector can free holds its variables until then: a body, for example. If
every pull leaves something, the heap grows until the collector comes, and never shrinks.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

from attrs import define, field

PACKAGES: Final = ("facade.", "shared.")
PRODUCT: Final = tuple(
    str(Path(__file__).parents[2] / package) + "/" for package in ("facade", "shared")
)


@define
class Leftovers:
    """What was found."""

    frames: list[str] = field(factory=list)  # where they stood
    objects: list[str] = field(factory=list)  # the names of their classes


@contextmanager
def leftovers() -> Iterator[Leftovers]:
    """Collect what the block leaves, and find the product's frames in it."""
    found = Leftovers()
    gc.collect()
    was_enabled, flags = gc.isenabled(), gc.get_debug()
    gc.disable()
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found.frames = [_place(each) for each in gc.garbage if _is_ours(each)]
        classes = [type(each) for each in gc.garbage]
        found.objects = [each.__name__ for each in classes if each.__module__.startswith(PACKAGES)]
        del classes
    finally:
        gc.set_debug(flags)
        gc.garbage.clear()
        if was_enabled:
            gc.enable()


def _is_ours(found: object) -> bool:
    return isinstance(found, FrameType) and found.f_code.co_filename.startswith(PRODUCT)


def _place(frame: object) -> str:
    assert isinstance(frame, FrameType)
    return f"{frame.f_code.co_filename}:{frame.f_code.co_qualname}"
