"""Attacks at full size run in `make adversary` alone: they take time, and they measure it."""

import os
from typing import Final

ALL: Final = os.environ.get("ADVERSARY") == "all"
