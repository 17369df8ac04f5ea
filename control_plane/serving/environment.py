"""The one place of the control plane that reads the environment."""

import os
from typing import TypeVar

from control_plane.prefix import PREFIX
from control_plane.serving.config import ALL_SETTINGS
from shared.environment import load

_Settings = TypeVar("_Settings")


def settings(cls: type[_Settings]) -> _Settings:
    """Return a command's settings, or raise `shared.environment.ConfigurationError`."""
    return load(cls, PREFIX, os.environ, beside=ALL_SETTINGS)
