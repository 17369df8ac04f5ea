"""A server that is measured."""

from attrs import frozen

from deploy.dev.processes import Child, ChildFailedError
from tests.bench.content import Content


@frozen
class Contender:
    """A server on loopback behind which the same registry stands."""

    name: str
    port: int
    children: tuple[Child, ...]
    prefix: str = "/v2"  # what stands before a repository's name

    @property
    def pids(self) -> list[int]:
        """Its processes; theirs are found under them."""
        return [child.pid for child in self.children]

    def path(self, content: Content) -> str:
        """Where it has the content."""
        return f"{self.prefix}/{content.path}"

    def require_running(self) -> None:
        """Raise `ChildFailedError` if it has ended."""
        for child in self.children:
            if not child.running:
                raise ChildFailedError(f"{self.name} has ended:\n{child.log_tail}")
