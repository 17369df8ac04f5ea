"""Audit: who did what when, whether the log is whole, and what was exported of it."""

from collections.abc import AsyncIterator, Mapping
from typing import Final
from urllib.parse import urlencode

from aiohttp import web
from attrs import define, field, frozen

from control_plane.audit.last_export import fetch_last_export
from control_plane.audit.log_reading import AuditLine, exported_lines, read_newest_page
from control_plane.audit.operations import LIST_AUDIT
from control_plane.clock import now
from control_plane.console.page import (
    ConsoleDownload,
    ConsoleForm,
    ConsolePage,
    ConsoleSection,
    PageView,
)
from control_plane.console.visit import Visit
from control_plane.database.database import Database
from control_plane.errors import InvalidRequestError, TooManyRequestsError
from control_plane.proof.audit_chain import AuditChain
from control_plane.proof.audit_filter import read_audit_filter
from control_plane.reading.query_reader import MAX_SEQUENCE, parse_sequence

PAGE_ENTRIES: Final = 50
DOWNLOADS_AT_ONCE: Final = 2  # each reads the whole log, a page at a time
RETRY_SECONDS: Final = 30
_SECTION: Final = ConsoleSection.AUDIT
_FIELDS: Final = ("actor", "action", "about", "since", "until")


@frozen
class AuditPages:
    """The page of the audit log."""

    _chain: AuditChain

    def pages(self) -> tuple[ConsolePage, ...]:
        """Return the page."""
        return (
            ConsolePage(
                path=_SECTION.path, operation=LIST_AUDIT, section=_SECTION, show=self._show
            ),
        )

    def forms(self) -> tuple[ConsoleForm, ...]:
        """Return nothing: it only shows."""
        return ()

    async def _show(self, visit: Visit) -> PageView:
        query = visit.query()
        asked = {name: visit.request.query.get(name, "") for name in _FIELDS}
        before, wanted = query.text("before", parse_sequence), read_audit_filter(query)
        lines, following, wrong = list[AuditLine](), None, list[str]()
        try:
            query.finish()
            lines, following = await read_newest_page(
                self._chain.database,
                self._chain.signer,
                wanted,
                before=MAX_SEQUENCE if before is None else before,
                limit=PAGE_ENTRIES,
            )
        except InvalidRequestError as error:
            wrong = [f"{each.parameter}: {each.detail}" for each in error.errors]
        given = {name: text for name, text in asked.items() if text}
        log = self._chain.log
        return PageView(
            "audit.html",
            "Audit",
            {
                "entries": [line.view() for line in lines],
                "asked": asked,
                "is_filtered": bool(given),
                "wrong": wrong,
                "is_first": before is None,
                "first_url": _url(given),
                "next_url": _url({**given, "before": str(following)}) if following else None,
                "problem": self._chain.problem,
                "end": log.end if log else None,
                "export": await fetch_last_export(self._chain.database),
            },
        )


@define(eq=False)
class _Downloads:
    """Downloads of the log, so many at once."""

    _database: Database
    _running: int = field(default=0, init=False)

    async def send(self, visit: Visit) -> web.Response:
        """Return the whole log, as `control-plane audit export` prints it."""
        visit.query().finish()
        if self._running >= DOWNLOADS_AT_ONCE:
            raise TooManyRequestsError(RETRY_SECONDS, "downloads of the audit log")
        name = f"audit-log-{now():%Y-%m-%d}.jsonl"
        return web.Response(
            body=self._lines(),
            content_type="application/x-ndjson",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    async def _lines(self) -> AsyncIterator[bytes]:
        self._running += 1
        try:
            async for lines in exported_lines(self._database):
                yield lines
        finally:
            self._running -= 1


def audit_download(database: Database) -> ConsoleDownload:
    """Return the download of the whole log."""
    return ConsoleDownload(
        path=f"{_SECTION.path}/export", operation=LIST_AUDIT, send=_Downloads(database).send
    )


def _url(given: Mapping[str, str]) -> str:
    return f"{_SECTION.url}?{urlencode(given)}" if given else _SECTION.url
