"""How much of the fault suite runs: a fast part in `make test`, all of it in `make faults`."""

import os
from typing import Final, TypeVar

ALL: Final = os.environ.get("FAULTS") == "all"

Amount = TypeVar("Amount")


def extent(fast: Amount, everything: Amount) -> Amount:
    """Return how much of something this run takes."""
    return everything if ALL else fast
