"""Overview: what waits for whoever looks, what is broken, what ends soon, what changed lately."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from attrs import field, frozen

from control_plane.audit.log_reading import read_page
from control_plane.clock import Clock
from control_plane.connections import operations
from control_plane.connections.filter import ConnectionFilter
from control_plane.connections.reader import ConnectionReader
from control_plane.console.act_words import ToldAct, connection_id_of, told
from control_plane.console.connection_words import ListedConnection, place_of
from control_plane.console.costly_answer import CostlyAnswer
from control_plane.console.page import ConsoleForm, ConsolePage, ConsoleSection, PageView
from control_plane.console.visit import Visit
from control_plane.errors import NotFoundError
from control_plane.operators.authenticated_operator import AuthenticatedOperator
from control_plane.proof.audit_chain import AuditChain
from control_plane.proof.session_endings import EndingAct
from control_plane.reading.page import View
from control_plane.review.certificates import own_certificates
from control_plane.review.reviews import ConnectionReviews
from control_plane.review.view import review_view
from control_plane.troubles import Trouble
from shared.canonical_json import format_time
from shared.statement import AuditEntry

SHOWN: Final = 5  # of each list; a link leads to the rest
LOOKED_AT_DRAFTS: Final = 50  # among which are those that wait for whoever looks
LOOKED_AT_CAS: Final = 100  # connections with certificates of their own
ENDS_SOON: Final = timedelta(days=30)
LATELY: Final = timedelta(days=7)
CHANGES: Final = 10
LOOKED_AT_ACTS: Final = 50  # of the newest, among which are those changes; 0.1 ms each
_CHANGE_NOTHING: Final = frozenset({EndingAct.SIGN_OUT, EndingAct.PROVIDER_LOGOUT})


@frozen
class EndingSoon:
    """What ends, of which connection, and when."""

    id: str
    place: str
    what: str
    at: str


@frozen
class Found:
    """What was found among all connections, and when."""

    broken: list[ListedConnection]
    ends: list[EndingSoon]
    at: str
    has_more_broken: bool


@frozen
class OverviewPages:
    """The page that an operator begins at."""

    chain: AuditChain
    reader: ConnectionReader
    reviews: ConnectionReviews
    troubles: Callable[[], Sequence[Trouble]]
    clock: Clock
    found: CostlyAnswer[Found] = field(init=False)

    @found.default
    def _not_looked_yet(self) -> CostlyAnswer[Found]:
        return CostlyAnswer(self._find)

    def pages(self) -> tuple[ConsolePage, ...]:
        """Return the page."""
        return (
            ConsolePage(
                path=ConsoleSection.OVERVIEW.path,
                operation=operations.LIST,
                section=ConsoleSection.OVERVIEW,
                show=self.show,
            ),
        )

    def forms(self) -> tuple[ConsoleForm, ...]:
        """Return nothing: it only shows."""
        return ()

    async def show(self, visit: Visit) -> PageView:
        """Show the four lists."""
        visit.query().finish()
        found = await self.found.get()
        return PageView(
            "overview.html",
            "Overview",
            {
                **await self._waiting(visit.operator),
                "may_approve": visit.may(operations.APPROVE),
                "may_connect": visit.may(operations.CONNECT),
                "troubles": [each.words for each in self.troubles()],
                "found": found,
                "changes": await self._changes(),
                "since": format_time(self.clock() - LATELY),
                "days": ENDS_SOON.days,
            },
        )

    async def _find(self) -> Found:
        """Look through the connections for what is broken, and for what ends soon."""
        broken = await self.reader.list(ConnectionFilter(has_problem=True), after=None, limit=SHOWN)
        return Found(
            [ListedConnection.of(view) for view in broken.items],
            await self._ending(),
            at=format_time(self.clock()),
            has_more_broken=broken.next_place is not None,
        )

    async def _waiting(self, operator: AuthenticatedOperator) -> dict[str, object]:
        """Return the drafts that wait for this operator, and how many wait for others.

        A draft waits for those who may approve it; one that was sent back, for whoever made it.
        """
        queue = await self.reviews.queue(after=None, limit=LOOKED_AT_DRAFTS, asked_by=operator)
        views = [review_view(each) for each in queue.reviews]
        mine = [
            view
            for view in views
            if (view["made_by"] == operator.name if view["sent_back"] else view["refusal"] is None)
        ]
        return {
            "waiting": mine[:SHOWN],
            "more_waiting": max(0, len(mine) - SHOWN),
            "waiting_for_others": len(views) - len(mine) + len(queue.unbelieved),
            "is_first_page": queue.next_place is None,
        }

    async def _ending(self) -> list[EndingSoon]:
        """Return the approvals, credentials and certificates that end soon, the next one first."""
        now = self.clock()
        until = format_time(now + ENDS_SOON)
        soon = ConnectionFilter(expires_before=now + ENDS_SOON)
        ends = [
            EndingSoon(str(view["id"]), place_of(view), what, at)
            for view in (await self.reader.list(soon, after=None, limit=LOOKED_AT_CAS)).items
            for what, at in (
                ("approval", view["expires_at"]),
                ("credential", view["credential_expires_at"]),
            )
            if isinstance(at, str) and at < until
        ]
        with_ca = ConnectionFilter(has_ca=True)
        page = await self.reader.list(with_ca, after=None, limit=LOOKED_AT_CAS)
        for view in page.items:
            at = _end_of_ca(view)
            if at is not None and at < until and view["status"] != "revoked":
                ends.append(EndingSoon(str(view["id"]), place_of(view), "own CA", at))
        return sorted(ends, key=lambda each: each.at)[: 2 * SHOWN]

    async def _changes(self) -> list[ToldAct]:
        """Return the last acts of this week, the newest first."""
        log = await self.chain.loaded()
        after = max(0, log.end.sequence - LOOKED_AT_ACTS)
        lines, _ = await read_page(
            self.chain.database, self.chain.signer, after=after, limit=LOOKED_AT_ACTS
        )
        since = self.clock() - LATELY
        lately = [line.entry for line in reversed(lines) if line.entry and line.entry.at >= since]
        entries = [each for each in lately if each.action not in _CHANGE_NOTHING][:CHANGES]
        places = await self._places(entries)
        return [
            told(entry, format_time(entry.at), places.get(connection_id_of(entry) or ""))
            for entry in entries
        ]

    async def _places(self, entries: Sequence[AuditEntry]) -> dict[str, str]:
        """Return the registries of the connections that entries are about, by their ids."""
        ids = dict.fromkeys(each for entry in entries if (each := connection_id_of(entry)))
        places = {}
        for connection_id in ids:
            try:
                places[connection_id] = place_of(await self.reader.show(UUID(connection_id)))
            except NotFoundError:
                places[connection_id] = connection_id
        return places


def _end_of_ca(view: View) -> str | None:
    """Return when the first of a connection's own certificates ends."""
    pem = view["ca_certificate"]
    ends: list[datetime] = [
        each.ends for each in own_certificates(str(pem) if pem else None) if each.ends
    ]
    return format_time(min(ends)) if ends else None
