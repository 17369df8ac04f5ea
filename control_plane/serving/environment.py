"""The one place of the control plane that reads the environment."""

import os
from typing import TypeVar

from control_plane.prefix import PREFIX
from control_plane.serving.config import ALL_SETTINGS
from shared.environment import load
from shared.secret import Secret

_Settings = TypeVar("_Settings")


def settings(cls: type[_Settings]) -> _Settings:
    """Return a command's settings, or raise `shared.environment.ConfigurationError`."""
    return load(cls, PREFIX, os.environ, beside=ALL_SETTINGS)


def variable(name: str) -> Secret | None:
    """Return a variable that somebody names as the place of a secret."""
    value = os.environ.get(name)
    return None if value is None else Secret(value.encode(errors="surrogateescape"))


def surroundings_of_others() -> dict[str, str]:
    """Return the environment for a program of somebody else: without our own settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
