"""Devices: the revocations in force, revoking by identity or by certificate, and lifting."""

from typing import Final
from urllib.parse import urlencode

from attrs import frozen

from control_plane.console.notices import Notice
from control_plane.console.page import ConsoleForm, ConsolePage, ConsoleSection, Done, PageView
from control_plane.console.submission import Submission
from control_plane.console.visit import Visit
from control_plane.device_revocations import operations
from control_plane.device_revocations.acts import DeviceRevocations
from control_plane.device_revocations.device_certificate import (
    DeviceCertificate,
    parse_device_certificate,
)
from control_plane.device_revocations.reader import DeviceRevocationReader
from control_plane.device_revocations.request import parse_revocation_request, read_target
from control_plane.errors import InvalidRequestError
from control_plane.reading.field_reader import FieldReader
from control_plane.reading.query_reader import format_place
from shared.identity_form import IdentityForm

PAGE_ITEMS: Final = 50
_LIST: Final = ConsoleSection.DEVICES
_REVOKE: Final = f"{_LIST.path}/revoke"


@frozen
class DevicePages:
    """The pages of device revocations."""

    _reader: DeviceRevocationReader
    _revocations: DeviceRevocations
    _form: IdentityForm | None = None

    def pages(self) -> tuple[ConsolePage, ...]:
        """Return the list, the page to revoke, and that of one revocation."""
        return (self._list_page, self._revoke_page, self._one_page)

    def forms(self) -> tuple[ConsoleForm, ...]:
        """Return what revokes, what reads a certificate, and what lifts."""
        return (
            ConsoleForm(
                path=f"{_REVOKE}/device",
                name="revoke-device",
                operation=operations.REVOKE,
                page=self._revoke_page,
                submit=self._revoke_device,
            ),
            ConsoleForm(
                path=f"{_REVOKE}/certificate",
                name="revoke-certificate",
                operation=operations.REVOKE,
                page=self._revoke_page,
                submit=self._revoke_certificate,
            ),
            ConsoleForm(
                path=f"{_REVOKE}/read",
                name="read-certificate",
                operation=operations.REVOKE,
                page=self._revoke_page,
                submit=self._read_certificate,
                secrets=frozenset({"certificate"}),  # there may be a key beside it, by mistake
            ),
            ConsoleForm(
                path=f"{_LIST.path}/{{id}}/lift",
                name="lift",
                operation=operations.LIFT,
                page=self._one_page,
                submit=self._lift,
            ),
        )

    @property
    def _list_page(self) -> ConsolePage:
        return ConsolePage(
            path=_LIST.path, operation=operations.LIST, section=_LIST, show=self._show_list
        )

    @property
    def _revoke_page(self) -> ConsolePage:
        return ConsolePage(
            path=_REVOKE, operation=operations.REVOKE, section=_LIST, show=self._show_revoke
        )

    @property
    def _one_page(self) -> ConsolePage:
        return ConsolePage(
            path=f"{_LIST.path}/{{id}}",
            operation=operations.SHOW,
            section=_LIST,
            show=self._show_one,
        )

    async def _show_list(self, visit: Visit) -> PageView:
        query = visit.query()
        asked = {name: visit.request.query.get(name, "") for name in ("device", "serial")}
        target, after = read_target(query, self._form), query.place()
        wrong: list[str] = []
        try:
            query.finish()
            page = await self._reader.list(
                subject_beginning=target.subject if target else "", after=after, limit=PAGE_ITEMS
            )
            items, following = page.items, format_place(page.next_place)
        except InvalidRequestError as error:
            items, following = [], None
            wrong = [f"{each.parameter}: {each.detail}" for each in error.errors]
        given = {name: text for name, text in asked.items() if text}
        return PageView(
            "devices.html",
            "Devices",
            {
                "items": items,
                "asked": asked,
                "is_filtered": bool(given),
                "wrong": wrong,
                "is_first": after is None,
                "next_url": _next_url(given, following),
                "knows_identities": self._form is not None,
                "may_revoke": visit.may(operations.REVOKE),
            },
        )

    async def _show_revoke(self, visit: Visit) -> PageView:
        visit.query().finish()
        return self._revoke_view(None)

    def _revoke_view(self, certificate: DeviceCertificate | None) -> PageView:
        form = str(self._form) if self._form else None
        return PageView(
            "revoke_device.html",
            "Revoke a device",
            {"certificate": certificate, "identity_form": form},
        )

    async def _show_one(self, visit: Visit) -> PageView:
        visit.query().finish()
        revocation = await self._reader.show(visit.path_id("device revocation"))
        return PageView(
            "device_revocation.html",
            "Revoked device" if revocation["device"] else "Revoked certificate",
            {"revocation": revocation, "may_lift": visit.may(operations.LIFT)},
        )

    async def _revoke_device(self, visit: Visit, submission: Submission) -> Done:
        return await self._revoke(visit, submission.given("device", "reason"))

    async def _revoke_certificate(self, visit: Visit, submission: Submission) -> Done:
        return await self._revoke(visit, submission.given("serial", "issuer", "reason"))

    async def _revoke(self, visit: Visit, given: dict[str, str]) -> Done:
        request = parse_revocation_request(given, self._form)
        revoked = await self._revocations.revoke(request, actor=visit.operator)
        notice = Notice.DEVICE_REVOKED if revoked.is_new else Notice.DEVICE_WAS_REVOKED
        return Done(f"{_LIST.url}/{revoked.view['id']}", notice)

    async def _read_certificate(self, _: Visit, submission: Submission) -> PageView:
        """Show what a certificate says, in the two forms that revoke: nothing is done yet."""
        fields = FieldReader({"certificate": submission.verbatim("certificate")})
        found = fields.text(
            "certificate", lambda text: parse_device_certificate(text, self._form), required=True
        )
        fields.finish()
        return self._revoke_view(found)

    async def _lift(self, visit: Visit, _: Submission) -> Done:
        revocation_id = visit.path_id("device revocation")
        await self._revocations.lift(revocation_id, actor=visit.operator)
        return Done(_LIST.url, Notice.DEVICE_LIFTED)


def _next_url(given: dict[str, str], following: str | None) -> str | None:
    return f"{_LIST.url}?{urlencode({**given, 'cursor': following})}" if following else None
