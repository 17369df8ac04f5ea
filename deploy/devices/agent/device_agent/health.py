"""Whether what was applied works, by the owner's own command."""

import time
from collections.abc import Callable

from attrs import frozen

from device_agent.config import HealthCheck
from device_agent.errors import ApplyError
from device_agent.programs import run

PAUSE_SECONDS = 1.0  # between two tries


@frozen
class Health:
    """Asks until it is well, or until its time is over."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def expect(self, check: HealthCheck) -> None:
        """Return once the command ends with 0; ApplyError with its words if it never does."""
        if not check.command:
            return
        deadline = self.clock() + check.within_seconds
        while True:
            try:
                run(check.command, check.each_seconds)
                return
            except ApplyError as error:
                if self.clock() >= deadline:
                    raise ApplyError(f"the health check failed: {error}") from error
            self.sleep(min(PAUSE_SECONDS, check.within_seconds))
