"""What a token is asked for: to pull one repository, or no more than to log in."""

from typing import Self

from attrs import frozen

from shared.oci import RepositoryName


@frozen
class Scope:
    """The repository as the registry names it; None if only a login is asked for."""

    repository: RepositoryName | None

    @classmethod
    def pull(cls, repository: RepositoryName) -> Self:
        """Return the scope to pull from this upstream repository."""
        return cls(repository)

    @classmethod
    def login(cls) -> Self:
        """Return the scope that names no repository."""
        return cls(None)

    @property
    def parameter(self) -> str | None:
        """`repository:<name>:pull`, exactly (distribution's token scope grammar)."""
        return None if self.repository is None else f"repository:{self.repository}:pull"
