"""What an attack may cost at most, whoever makes it. Held by `make adversary`, alone."""

import os
from typing import Final

from attrs import frozen

OPERATOR_P99_SECONDS: Final = 0.250  # a list of connections: TLS, a query, many signatures
QUIET_SECONDS: Final = 2.0  # of measuring before an attack
SETTLE_SECONDS: Final = 5.0  # after it, until its memory should be let go
# On a machine that others keep busy waiting says nothing. It is measured, and not held; what is
# held there is how long the loop works before it answers.
IGNORES_WAITING: Final = os.environ.get("WAITING") == "ignored"
BUSY_FACTOR: Final = 6  # as much slower a machine may be, on which waiting is ignored


def patient(seconds: float) -> float:
    """Return for how long something is waited for that takes less than so many seconds."""
    return seconds * BUSY_FACTOR if IGNORES_WAITING else seconds


@frozen
class Allowed:
    """How long an attack goes on, and what it may cost."""

    seconds: float = 10.0
    p99_seconds: float = 0.050  # a warm manifest, kept connection; about 1 ms when it is quiet
    # Of a processor, that the loop has meanwhile: it says as much on a machine that others use.
    worked_p99_seconds: float = 0.025
    worked_longest_seconds: float = 0.250
    growth_bytes: int = 128 * 1024 * 1024  # of resident memory, at its peak, over the quiet time
    kept_bytes: int = 64 * 1024 * 1024  # of it, once the attack is over
    cores: float = 2.0  # that it keeps busy meanwhile, the victim's answers included


OF_A_FACADE: Final = Allowed()
# Of what comes at once on 900 sockets, all waits in the kernel on a busy machine, and is worked off
# in a few turns.
OF_A_CONTROL_PLANE: Final = Allowed(
    p99_seconds=OPERATOR_P99_SECONDS, worked_p99_seconds=1.0, worked_longest_seconds=1.5
)
