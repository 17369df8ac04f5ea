"""Which connections a list is asked for. Pure.

The database finds rows by what any column or document says, and none of that is believed. So each
row that was found is compared with its view, which is believed. A row whose host was changed in the
database is found under the host that is signed, and its `problem` says so.
"""

import re
from datetime import datetime
from typing import Final

from attrs import frozen

from control_plane.connections.fields import parse_prefix, parse_provider
from control_plane.connections.state import Status
from control_plane.reading.page import View
from control_plane.reading.query_reader import QueryReader, parse_switch
from control_plane.reading.texts import parse_id_beginning, require_printable
from control_plane.reading.times import parse_time
from shared.canonical_json import format_time
from shared.connection import Provider
from shared.registry_host import RegistryHost
from shared.upstream.hosts import registry_host_from_people

MAX_SEARCH_CHARACTERS: Final = 100  # of a text that is searched in every row
# What stands in a document and in a signed payload as it is typed, whatever is escaped in them.
_STANDS_AS_TYPED: Final = re.compile(r"[A-Za-z0-9 ._@:/+=,*-]+", re.ASCII)


@frozen
class ConnectionFilter:
    """What a listed connection must have; None allows anything."""

    host: RegistryHost | None = None
    repository_prefix: str | None = None
    id_beginning: str | None = None
    status: Status | None = None
    provider: Provider | None = None
    has_problem: bool | None = None
    expires_before: datetime | None = None
    search: str | None = None
    has_ca: bool = False  # certificates of its own

    @property
    def found_text(self) -> str | None:
        """The text that rows are searched for, if its letters stand in documents as they are."""
        if self.search is None or not _STANDS_AS_TYPED.fullmatch(self.search):
            return None
        return self.search.lower()

    @property
    def is_found_by_views(self) -> bool:
        """Whether no column or document can tell, so that connection after connection is proven."""
        return self.has_problem is not None or (self.search is not None and not self.found_text)

    def fits(self, view: View) -> bool:
        """Tell whether a view shows a connection that was asked for."""
        return (
            (self.host is None or view["host"] == str(self.host))
            and self.repository_prefix in (None, view["repository_prefix"])
            and str(view["id"]).startswith(self.id_beginning or "")
            and self.status in (None, view["status"])
            and self.provider in (None, view["provider"])
            and self.has_problem in (None, view["problem"] is not None)
            and (
                self.expires_before is None or _ends_before(view, format_time(self.expires_before))
            )
            and (not self.has_ca or view["ca_certificate"] is not None)
            and (self.search is None or self.search.lower() in _searched(view))
        )


def read_filter(query: QueryReader) -> ConnectionFilter:
    """Return what a query asks for; wrong parameters are noted in it."""
    return ConnectionFilter(
        host=query.text("host", registry_host_from_people),
        repository_prefix=query.text("repository_prefix", _parse_prefix_text),
        id_beginning=query.text("id", parse_id_beginning),
        status=query.text("status", parse_status),
        provider=query.text("provider", parse_provider),
        has_problem=query.text("problem", parse_switch),
        expires_before=query.text("expires_before", parse_time),
        search=query.text("search", parse_search),
    )


def parse_status(text: str) -> Status:
    """Return the status; raise `ValueError` if it is unknown."""
    if text not in list(Status):
        raise ValueError(f"expected one of {', '.join(Status)}")
    return Status(text)


def parse_search(text: str) -> str:
    """Return a text to search for."""
    return require_printable(text, MAX_SEARCH_CHARACTERS)


def _ends_before(view: View, moment: str) -> bool:
    """Tell whether an approval or a credential ends before a time; times compare as texts."""
    if view["status"] == Status.REVOKED:
        return False
    ends = (view["expires_at"], view["credential_expires_at"])
    return any(isinstance(each, str) and each < moment for each in ends)


def _searched(view: View) -> str:
    """Return the texts that a person may look for, in lower case, each on a line."""
    place = "/".join(part for part in (str(view["host"]), str(view["repository_prefix"])) if part)
    texts = [place, view["description"], view["username"]]
    for name, field in (("google", "client_email"), ("ecr", "role_arn")):
        part = view[name]
        texts.append(part[field] if isinstance(part, dict) else None)
    return "\n".join(str(text) for text in texts if text).lower()


def _parse_prefix_text(text: str) -> str:
    prefix = parse_prefix(text)
    return str(prefix) if prefix else ""
