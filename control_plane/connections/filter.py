"""Which connections a list is asked for: by host, prefix, or the beginning of an id. Pure.

The database finds rows by what any column or document says, and none of that is believed. So each
row that was found is compared with its view, which is believed. A row whose host was changed in the
database is found under the host that is signed, and its `problem` says so.
"""

from attrs import frozen

from control_plane.connections.fields import parse_prefix
from control_plane.reading.page import View
from control_plane.reading.query_reader import QueryReader
from control_plane.reading.texts import parse_id_beginning
from shared.registry_host import RegistryHost
from shared.upstream.hosts import registry_host_from_people


@frozen
class ConnectionFilter:
    """What a listed connection must have; None allows anything."""

    host: RegistryHost | None = None
    repository_prefix: str | None = None
    id_beginning: str | None = None

    def fits(self, view: View) -> bool:
        """Tell whether a view shows a connection that was asked for."""
        return (
            (self.host is None or view["host"] == str(self.host))
            and self.repository_prefix in (None, view["repository_prefix"])
            and str(view["id"]).startswith(self.id_beginning or "")
        )


def read_filter(query: QueryReader) -> ConnectionFilter:
    """Return what a query asks for; wrong parameters are noted in it."""
    return ConnectionFilter(
        host=query.text("host", registry_host_from_people),
        repository_prefix=query.text("repository_prefix", _parse_prefix_text),
        id_beginning=query.text("id", parse_id_beginning),
    )


def _parse_prefix_text(text: str) -> str:
    prefix = parse_prefix(text)
    return str(prefix) if prefix else ""
