"""What an admin asks for: the bodies of operators that are made, and of tokens that are rotated."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from attrs import frozen

from control_plane.operators.operator_token import OperatorName
from control_plane.operators.operators import DEFAULT_LIFETIME, Lifetime
from control_plane.operators.permissions import Role
from control_plane.operators.person import Person
from control_plane.reading.field_reader import FieldReader
from control_plane.reading.times import parse_time
from shared.outside_bytes import Party, reads_bytes_of

_END: Final = "expires_at"


@frozen
class OperatorRequest:
    """The operator that is to be made."""

    name: OperatorName
    role: Role
    lifetime: Lifetime
    person: Person | None = None


@frozen
class RotationRequest:
    """The token that is to take the place of the present one."""

    lifetime: Lifetime
    person: Person | None = None


@reads_bytes_of(Party.OPERATOR)
def parse_operator_request(body: Mapping[str, object], at: datetime) -> OperatorRequest:
    """Return the request, or raise `InvalidRequestError` with every wrong field."""
    fields = FieldReader(body)
    name = fields.text("name", OperatorName.parse, required=True)
    role = fields.text("role", parse_role, required=True)
    lifetime, person = _lifetime(fields, at), fields.text("person", Person.parse)
    if name is None or role is None:
        raise fields.refusal()
    fields.finish()
    return OperatorRequest(name, role, lifetime, person)


@reads_bytes_of(Party.OPERATOR)
def parse_rotation_request(body: Mapping[str, object], at: datetime) -> RotationRequest:
    """Return the request, or raise `InvalidRequestError` with every wrong field."""
    fields = FieldReader(body)
    lifetime, person = _lifetime(fields, at), fields.text("person", Person.parse)
    fields.finish()
    return RotationRequest(lifetime, person)


def parse_role(text: str) -> Role:
    """Return the role; raise `ValueError` if it is unknown."""
    if text not in list(Role):
        raise ValueError(f"expected one of {', '.join(Role)}")
    return Role(text)


def _lifetime(fields: FieldReader, at: datetime) -> Lifetime:
    """Return until when a token is good; null: without an end, which has to be asked for."""
    ends = fields.text(_END, parse_time)
    if ends is not None and ends <= at:
        fields.wrong(f"/{_END}", "expected a time to come")
    return ends if fields.given(_END) else DEFAULT_LIFETIME
