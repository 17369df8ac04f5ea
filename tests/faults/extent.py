"""How much of the fault suite runs: a fast part in `make test`, all of it in `make faults`."""

from typing import Final

from tests.support.suite import Suite

FAULTS: Final = Suite("faults", marker="long")
extent = FAULTS.extent
