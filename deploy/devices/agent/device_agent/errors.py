"""Why an update did not happen. Each message is a sentence for whoever runs the device."""

from typing import Final

MAX_WORDS: Final = 300  # characters of what a peer had a part in: a line of the journal, no page


class AgentError(Exception):
    """What a command of the agent says before it ends."""


class ConfigurationError(AgentError):
    """The configuration, the pinned root or the device's own files are not as they must be."""


class RefusedError(AgentError):
    """Somebody sent what is not to be believed. Nothing was changed on the device."""


class LinkError(AgentError):
    """Somebody is away, or the way there broke. What has come stays; the next run goes on."""


class SlowError(LinkError):
    """A peer sent less than the least that is allowed in a window of time."""


class StorageError(AgentError):
    """The device's disk has no room, or failed."""


class ApplyError(AgentError):
    """What was verified could not be started, or did not pass its health check."""


def in_one_line(words: object) -> str:
    """Return a peer's words as one printable line of bounded length."""
    line = " ".join("".join(c if c.isprintable() else " " for c in str(words)).split())
    return line if len(line) <= MAX_WORDS else f"{line[:MAX_WORDS]}..."
