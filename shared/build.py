"""Which build of the product runs: its version, and the commit that it was made of."""

from importlib.metadata import version
from importlib.resources import files
from typing import Final

from attrs import frozen

DISTRIBUTION: Final = "registry-facade"
_REVISION: Final = "revision"  # a file beside this one, which `make wheel` writes
UNKNOWN: Final = "unknown"  # a checkout, which may hold more than its last commit


@frozen
class Build:
    """What `--version` prints and `..._build_info` shows."""

    version: str  # of pyproject.toml
    revision: str  # the commit's hash; "unknown" if it was not made by `make wheel`

    @classmethod
    def of_this_program(cls) -> "Build":
        """Return the build that is installed."""
        told = files("shared").joinpath(_REVISION)
        revision = told.read_text("ascii").strip() if told.is_file() else UNKNOWN
        return cls(version(DISTRIBUTION), revision)

    def labels(self) -> dict[str, str]:
        """Return the labels of the metric."""
        return {"version": self.version, "revision": self.revision}

    def __str__(self) -> str:
        """Return what a person reads."""
        return f"{self.version} (revision {self.revision})"
