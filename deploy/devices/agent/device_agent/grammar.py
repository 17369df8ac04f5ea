"""The grammars of what comes in: digests, repositories, names. Nothing else becomes a path."""

import re
from typing import Final

# OCI image specification, descriptor.md: the one algorithm that every registry has
DIGEST: Final = re.compile(r"sha256:([0-9a-f]{64})")
# A connected host as the facade's paths write it (a port behind `_`), and the repository there.
REPOSITORY: Final = re.compile(
    r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?:_[0-9]{1,5})?(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)+"
)
# A fleet, a device, a slot: one segment of a target's name. No glob of TUF fits it by accident.
NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
MAX_REPOSITORY: Final = 320  # characters: a host's 64 and the 255 of a repository's name


def hex_of(digest: str) -> str:
    """Return the hex digits of a digest; ValueError if it is none."""
    match = DIGEST.fullmatch(digest)
    if match is None:
        raise ValueError(f"no sha256 digest: {digest[:80]!r}")
    return match[1]


def is_repository(text: str) -> bool:
    """Tell whether it is `host/repository`, as the facade's paths have it."""
    return len(text) <= MAX_REPOSITORY and REPOSITORY.fullmatch(text) is not None


def is_name(text: str) -> bool:
    """Tell whether it may name a fleet, a device or a slot."""
    return NAME.fullmatch(text) is not None
