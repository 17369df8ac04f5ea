"""An edit of a connection: what `PATCH` and `PUT .../credential` make of the present one. Pure.

A patch is merged into the body that would ask for the present document (RFC 7396: null takes a
field back to its default), and the whole is parsed as a new connection is. A change of what the
seal binds needs the secret again: nobody here can open the old one and seal it to something else.
"""

from collections.abc import Collection, Mapping
from typing import Final
from uuid import UUID

import attrs
from attrs import field, frozen

from control_plane.connections.credential_fields import SECRET_FIELDS, credential_body
from control_plane.connections.fields import parse_provider
from control_plane.connections.request import (
    ConnectionRequest,
    read_connection_request,
    request_body,
)
from control_plane.errors import ConflictError
from control_plane.reading.field_reader import FieldReader
from shared.connection import (
    ConnectionDocument,
    Credential,
    Provider,
    SealContext,
    seal_context,
)

_PLACE_FIELDS: Final = frozenset({"host", "repository_prefix"})
_BOUND_FIELDS: Final = (
    "username",
    "auth_realms",
    "plain_http",
    "ca_certificate",
    "allowed_networks",
)
_CREDENTIAL_CHANGE_FIELDS: Final = frozenset({"username", "token", "service_account_key"})


@frozen
class Edit:
    """What a connection shall be, and which parts of it change."""

    request: ConnectionRequest
    rebinds: tuple[str, ...] = field(default=())  # what changes of what the seal binds

    @property
    def changes_login(self) -> bool:
        """Whether the login at the registry changes."""
        return bool(self.rebinds) or self.request.secret is not None

    def document(self, present: ConnectionDocument) -> ConnectionDocument:
        """Return the edited document; who made it and when stays as in the present one."""
        document = self.request.document(
            connected_by=present.connected_by, connected_at=present.connected_at
        )
        keeps = document.needs_secret and self.request.secret is None
        return attrs.evolve(document, secret=present.secret if keeps else None)

    def changes(self, present: ConnectionDocument) -> bool:
        """Whether there is anything to draft."""
        return self.request.secret is not None or self.document(present) != present


def parse_edit(patch: Mapping[str, object], present: ConnectionDocument) -> Edit:
    """Return what a `PATCH` makes of a document, or raise `InvalidRequestError`."""
    fields = _merged(patch, present, fixed=_PLACE_FIELDS, why="cannot change; connect it anew")
    same_provider = _provider(patch, present) is present.provider

    def look_at(request: ConnectionRequest) -> None:
        if same_provider and present.needs_secret:
            _require_nothing_rebound(fields, _edit(request, present), present)

    kept = present.credential if same_provider else None
    return _edit(read_connection_request(fields, kept, look_at), present)


def parse_new_credential(body: Mapping[str, object], present: ConnectionDocument) -> Edit:
    """Return what a `PUT .../credential` makes of a document; it has a secret."""
    if present.provider not in SECRET_FIELDS:
        raise ConflictError("a role has no stored secret; PATCH changes the role")
    fixed = (request_body(present).keys() | {"description", "set_name"}) - _CREDENTIAL_CHANGE_FIELDS
    why = "this changes the credential alone; PATCH changes the rest"
    fields = _merged(body, present, fixed=fixed, why=why)
    fields.flag("approve")  # read here so that it is known; the caller acts upon it
    secret_field = SECRET_FIELDS[present.provider]

    def look_at(request: ConnectionRequest) -> None:
        if request.secret is None and not (
            fields.has(secret_field) or fields.is_wrong(secret_field)
        ):
            fields.wrong(f"/{secret_field}", "this field is required")

    return _edit(read_connection_request(fields, look_at=look_at), present)


def rebound(present: ConnectionDocument, wished: ConnectionDocument) -> tuple[str, ...]:
    """Return the changed fields among those that the seal binds, by the API's names."""
    before, after = (
        seal_context(UUID(int=0), document, secret_version=0, key_id="")
        for document in (present, wished)
    )
    names = attrs.fields_dict(SealContext)
    changed = [name for name in names if getattr(before, name) != getattr(after, name)]
    if "credential" not in changed:
        return tuple(changed)
    changed.remove("credential")
    return (*_changed_credential(present.credential, wished.credential), *changed)


def _changed_credential(present: Credential, wished: Credential) -> tuple[str, ...]:
    before, after = credential_body(present), credential_body(wished)
    names = (name for name in before | after if before.get(name) != after.get(name))
    return tuple(names) or ("service_account_key",)


def _merged(
    patch: Mapping[str, object],
    present: ConnectionDocument,
    *,
    fixed: Collection[str],
    why: str,
) -> FieldReader:
    base = request_body(present)
    if _provider(patch, present) is not present.provider:
        base = {
            name: base[name] for name in base.keys() - credential_body(present.credential).keys()
        }
    fields = FieldReader(base | {name: patch[name] for name in patch.keys() - fixed})
    for name in sorted(patch.keys() & fixed):
        fields.wrong(f"/{name}", why)
    return fields


def _provider(patch: Mapping[str, object], present: ConnectionDocument) -> Provider | None:
    """Return the provider after a patch; None for a wrong one."""
    name = patch.get("provider", present.provider.value)
    try:
        return parse_provider(name) if isinstance(name, str) else None
    except ValueError:
        return None  # the error is named when the field is read


def _edit(request: ConnectionRequest, present: ConnectionDocument) -> Edit:
    wished = request.document(connected_by=present.connected_by, connected_at=present.connected_at)
    return Edit(request, rebound(present, wished))


def _require_nothing_rebound(fields: FieldReader, edit: Edit, present: ConnectionDocument) -> None:
    """Note each changed field that the kept secret is sealed to, and that the secret is needed."""
    secret_field = SECRET_FIELDS[present.provider]
    keeps = edit.document(present).needs_secret or fields.is_wrong("username")
    if fields.given(secret_field) or not keeps:
        return
    # A field that could not be read was meant to change, too, so it needs the secret as well.
    rebinds = [name for name in edit.rebinds if not fields.is_wrong(name)]
    unread = [name for name in _BOUND_FIELDS if fields.is_wrong(name)]
    for name in rebinds:
        why = f"this decides who is shown the secret: give {secret_field} again in the same request"
        fields.wrong(f"/{name}", why)
    if names := ", ".join([*rebinds, *unread]):
        fields.wrong(f"/{secret_field}", f"needed again, for {names} decides who is shown it")
