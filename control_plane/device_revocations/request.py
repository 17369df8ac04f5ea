"""What an approver asks for: the body of `POST /v1/device-revocations`, parsed once."""

from collections.abc import Mapping
from typing import Final

from attrs import frozen

from control_plane.device_revocations.fields import parse_device_id, parse_issuer, parse_serial
from control_plane.errors import InvalidRequestError
from control_plane.reading.field_reader import FieldReader
from control_plane.reading.query_reader import QueryReader
from control_plane.reading.texts import parse_reason
from shared.identity_form import IdentityForm
from shared.outside_bytes import Party, reads_bytes_of
from shared.statement import device_subject

MAX_REVOCATIONS: Final = 10_000  # of one call: a second or two, in which no other act is made
MAX_NAMED_WRONG_FIELDS: Final = 100  # a file of another kind is wrong in every line
TARGET_FIELDS: Final = ("device", "serial", "issuer")


@frozen
class RevocationTarget:
    """Whom to revoke: a device by its id, or a certificate by its serial and perhaps its issuer."""

    device: str | None = None
    serial: str | None = None
    issuer: str | None = None

    @property
    def subject(self) -> str:
        """The subject of its statements."""
        return device_subject(self.device, self.serial, self.issuer)

    def view(self) -> dict[str, object]:
        """Return how an answer names it."""
        return {"device": self.device, "serial": self.serial, "issuer": self.issuer}

    @classmethod
    def of_subject(cls, subject: str) -> "RevocationTarget":
        """Return whom a subject is about; nobody if it is about something else."""
        kind, _, name = subject.partition("/")
        if kind == "device":
            return cls(device=name)
        if kind == "certificate":
            serial, _, issuer = name.partition("/")
            return cls(serial=serial, issuer=issuer or None)
        return cls()


@frozen
class RevocationRequest:
    """Whom to revoke, and why, for people."""

    target: RevocationTarget
    reason: str


def read_target(query: QueryReader, form: IdentityForm | None = None) -> RevocationTarget | None:
    """Return whom a list is asked about, None for everybody; errors are noted in the query.

    A device's id may be of the installation's own `form`, too.
    """

    def parse_asked(text: str) -> str:
        is_known = form is not None and form.says_device(text)
        return text if is_known else parse_device_id(text)

    target = RevocationTarget(
        device=query.text("device", parse_asked),
        serial=query.text("serial", parse_serial),
        issuer=query.text("issuer", parse_issuer),
    )
    device, serial, issuer = (query.given(name) for name in TARGET_FIELDS)
    if device and serial:
        query.wrong("serial", "a revocation names a device or a serial, not both")
    if issuer and not serial:
        query.wrong("issuer", "an issuer is given with a serial")
    return target if device or serial else None


@reads_bytes_of(Party.OPERATOR)
def parse_revocation_request(
    body: Mapping[str, object], form: IdentityForm | None = None
) -> RevocationRequest:
    """Return the request, or raise `InvalidRequestError` with every wrong field.

    With the `form` of the installation's identities, a device that no certificate of that form can
    name is an error: revoking it would revoke nobody.
    """
    fields = FieldReader(body)

    def parse_device(text: str) -> str:
        if form is not None and form.says_device(text):
            return text
        device = parse_device_id(text)
        if form is not None:
            raise ValueError(
                f"no certificate of this installation says this of its device; expected {form}"
            )
        return device

    target = RevocationTarget(
        device=fields.text("device", parse_device),
        serial=fields.text("serial", parse_serial),
        issuer=fields.text("issuer", parse_issuer),
    )
    reason = fields.text("reason", parse_reason) or ""
    has_device, has_serial = fields.has("device"), fields.has("serial")
    if has_device and has_serial:
        fields.wrong("/serial", "a revocation names a device or a serial, not both")
    if not (has_device or has_serial):
        fields.wrong("/device", "a revocation names a device, or a serial")
    if fields.has("issuer") and not has_serial:
        fields.wrong("/issuer", "an issuer is given with a serial")
    fields.finish()
    return RevocationRequest(target, reason)


@reads_bytes_of(Party.OPERATOR)
def parse_revocation_requests(
    body: Mapping[str, object], form: IdentityForm | None = None
) -> list[RevocationRequest]:
    """Return the requests of a list, in its order; raise `InvalidRequestError`.

    Each item of `revocations` is read as by `parse_revocation_request`; the error names the wrong
    fields of all items.
    """
    fields = FieldReader(body)
    items = fields.objects("revocations", at_most=MAX_REVOCATIONS)
    requests = list[RevocationRequest]()
    for index, item in enumerate(items):
        if len(fields.errors) >= MAX_NAMED_WRONG_FIELDS:
            break
        try:
            requests.append(parse_revocation_request(item, form))
        except InvalidRequestError as error:
            for wrong in error.errors:
                fields.wrong(f"/revocations/{index}{wrong.pointer}", wrong.detail)
    fields.finish()
    return requests
