"""What an attack may cost at most, whoever makes it. Held by `make adversary`, alone."""

from typing import Final

VICTIM_P99_SECONDS: Final = 0.050  # a warm manifest, kept connection; about 1 ms when it is quiet
OPERATOR_P99_SECONDS: Final = 0.250  # a list of connections: TLS, a query, many signatures
MAX_GROWTH_BYTES: Final = 128 * 1024 * 1024  # of resident memory, at its peak, over the quiet time
MAX_KEPT_BYTES: Final = 64 * 1024 * 1024  # of it, once the attack is over
QUIET_SECONDS: Final = 2.0  # of measuring before an attack
ATTACK_SECONDS: Final = 10.0  # that an attack goes on, unless it says otherwise
SETTLE_SECONDS: Final = 5.0  # after it, until its memory should be let go
