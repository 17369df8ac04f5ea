"""How the names of the control plane's settings begin."""

from typing import Final

PREFIX: Final = "CONTROL_PLANE"
