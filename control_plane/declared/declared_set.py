"""What files want: a set's name, and connections, each with the terms that it shall have. Pure.

    set: production
    connections:
      ghcr:
        host: ghcr.io
        provider: static
        username: robot
        tokenFrom: {env: GHCR_TOKEN, version: "2026-11"}

The files say the whole of a connection: what is not there has its default. Only an external id that
is not there stays as it is, because the control plane makes it up; an empty one is none.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

from attrs import define, field, frozen

from control_plane.connections.fields import parse_set_name
from control_plane.connections.request import (
    ConnectionRequest,
    read_connection_request,
    request_body,
)
from control_plane.declared.field_names import (
    CERTIFICATE,
    CERTIFICATE_FROM,
    PLAIN_FIELDS,
    REFERENCES,
    file_name_of,
)
from control_plane.declared.file_problems import (
    FileProblem,
    ValueWay,
    WrongFilesError,
    nearest_place,
)
from control_plane.declared.layers import CONNECTIONS, SCHEMA, SET, TOP_FIELDS, Layer, Mapped
from control_plane.declared.secret_reference import SecretReference, parse_reference
from control_plane.errors import InvalidRequestError
from control_plane.reading.field_reader import FieldReader
from shared.canonical_json import format_time
from shared.connection import Credential, GoogleServiceAccount, Provider, UsernameAndToken

MAX_CONNECTIONS: Final = 10_000  # as many as the control plane is measured with
NAME_PATTERN: Final = "[A-Za-z0-9][A-Za-z0-9._/:-]{0,254}"
_NAME: Final = re.compile(NAME_PATTERN, re.ASCII)
_UNKNOWN_ACCOUNT: Final = GoogleServiceAccount("", "")  # the key says which

ReadText = Callable[[ValueWay, str], str]


@frozen
class DeclaredConnection:
    """A connection that is wanted. `body` has the API's fields, each of them, without the secret.

    `external_id` is not among them if the files do not say it.
    """

    name: str
    host: str
    prefix: str
    body: Mapping[str, object]
    secret: SecretReference | None
    place_in_files: ValueWay

    @property
    def place(self) -> tuple[str, str]:
        """Host and prefix: the files' connection is the one that is there."""
        return self.host, self.prefix


@frozen
class DeclaredSet:
    """What the files want; without a name, nothing is ever ended for them."""

    name: str | None
    connections: tuple[DeclaredConnection, ...]


def declared_set(layer: Layer, read_certificate: ReadText) -> DeclaredSet:
    """Return what the layers want together; raise `WrongFilesError` with all that is wrong.

    `read_certificate` returns the text of a file that the value at a way names, or raises
    `ValueError`.
    """
    return _SetReader(layer, read_certificate).read()


@define
class _SetReader:
    layer: Layer
    read_certificate: ReadText
    problems: list[FileProblem] = field(factory=list)

    def read(self) -> DeclaredSet:
        name = self._set_name()
        connections = [
            read
            for key, value in self._connections().items()
            if (read := self._connection(key, value)) is not None
        ]
        self._require_places_once(connections)
        if self.problems:
            raise WrongFilesError(self.problems)
        return DeclaredSet(name, tuple(connections))

    def wrong(self, way: ValueWay, detail: str) -> None:
        self.problems.append(FileProblem(nearest_place(self.layer.places, way), way, detail))

    def _set_name(self) -> str | None:
        for name in sorted(self.layer.value.keys() - {*TOP_FIELDS}):
            self.wrong((name,), "there is no such field")
        if not isinstance(self.layer.value.get(SCHEMA, ""), str):
            self.wrong((SCHEMA,), "expected a text")
        value = self.layer.value.get(SET)
        if value is None:
            return None
        if not isinstance(value, str) or not value:
            self.wrong((SET,), "expected a text")
            return None
        try:
            return parse_set_name(value)
        except ValueError as error:
            self.wrong((SET,), str(error))
            return None

    def _connections(self) -> Mapped:
        value = self.layer.value.get(CONNECTIONS)
        if not isinstance(value, dict):
            missing = f"{CONNECTIONS} is needed: a mapping of names, which may be empty ({{}})"
            self.wrong((CONNECTIONS,), missing)
            return {}
        if len(value) > MAX_CONNECTIONS:
            self.wrong((CONNECTIONS,), f"expected at most {MAX_CONNECTIONS} connections")
            return {}
        return value

    def _connection(self, name: str, value: object) -> DeclaredConnection | None:
        way = (CONNECTIONS, name)
        if not _NAME.fullmatch(name):
            self.wrong(way, "expected a name of letters, digits and . _ / : -")
            return None
        if not isinstance(value, dict):
            self.wrong(way, "expected a mapping")
            return None
        before = len(self.problems)
        reader = _ConnectionReader(self, way, value)
        found = reader.read()
        return found if len(self.problems) == before else None

    def _require_places_once(self, connections: list[DeclaredConnection]) -> None:
        seen = dict[tuple[str, str], str]()
        for each in connections:
            if (first := seen.setdefault(each.place, each.name)) != each.name:
                detail = f"the connection {first} has this host and prefix too"
                self.wrong((*each.place_in_files, "host"), detail)


@define
class _ConnectionReader:
    """Reads one connection: its fields as the API does, its secret as a reference."""

    whole: _SetReader
    way: ValueWay
    value: Mapped

    def read(self) -> DeclaredConnection | None:
        known = {*PLAIN_FIELDS.values(), *REFERENCES.values(), CERTIFICATE_FROM}
        for name in sorted(self.value.keys() - known):
            self.whole.wrong((*self.way, name), _unknown(name))
        secret = self._secret()
        body = {api: self.value[name] for api, name in PLAIN_FIELDS.items() if name in self.value}
        is_external_id_said = "external_id" in body
        if body.get("external_id") == "":
            body["external_id"] = None
        self._read_certificate(body)
        request = self._request(body, has_secret=secret is not None)
        if request is None:
            return None
        ends = request.credential_expires_at
        wanted = request_body(request) | {
            "description": request.description or "",
            "credential_expires_at": format_time(ends) if ends else None,
        }
        if not is_external_id_said:
            wanted.pop("external_id", None)
        host, prefix = str(wanted.pop("host")), str(wanted.pop("repository_prefix"))
        return DeclaredConnection(self.way[-1], host, prefix, wanted, secret, self.way)

    def _secret(self) -> SecretReference | None:
        provider = self.value.get("provider")
        given = [name for name in REFERENCES.values() if name in self.value]
        found = None
        for name in given:

            def wrong(inner: ValueWay, detail: str, name: str = name) -> None:
                self.whole.wrong((*self.way, name, *inner), detail)

            found = parse_reference(self.value[name], wrong)
        if provider not in list(Provider):
            return found  # that is told already; which secret is needed is not known without it
        needed = _needed_reference(provider, has_username="username" in self.value)
        for name in given:
            if name != needed:
                self.whole.wrong((*self.way, name), _not_needed(name, provider))
        if needed is not None and needed not in given:
            self.whole.wrong((*self.way, needed), "this field is required")
        return found

    def _read_certificate(self, body: Mapped) -> None:
        way = (*self.way, CERTIFICATE_FROM)
        value = self.value.get(CERTIFICATE_FROM)
        if value is None:
            return
        if CERTIFICATE in self.value:
            self.whole.wrong(way, f"give {CERTIFICATE} or this, not both")
        elif not isinstance(value, dict) or value.keys() != {"file"}:
            self.whole.wrong(way, "expected {file: PATH}")
        elif not isinstance(path := value["file"], str) or not path.isprintable():
            self.whole.wrong((*way, "file"), "expected the path of a file")
        else:
            try:
                body["ca_certificate"] = self.whole.read_certificate((*way, "file"), path)
            except ValueError as error:
                self.whole.wrong((*way, "file"), str(error))

    def _request(self, body: Mapped, *, has_secret: bool) -> ConnectionRequest | None:
        kept = _kept(body) if has_secret or "username" in body else None
        fields = FieldReader(body)
        try:
            return read_connection_request(fields, kept)
        except InvalidRequestError as error:
            for each in error.errors:
                api_name, *inner = each.pointer.split("/")[1:] or [""]
                if api_name in REFERENCES:
                    continue  # told already, by the reference's own name
                way = (*self.way, file_name_of(api_name), *inner) if api_name else self.way
                self.whole.wrong(way, _with_hint(each.detail))
            return None


def _kept(body: Mapped) -> Credential | None:
    """Return a credential in whose place a reference stands: the secret itself is read later."""
    if body.get("provider") == Provider.GOOGLE_SERVICE_ACCOUNT:
        return _UNKNOWN_ACCOUNT
    username = body.get("username")
    return UsernameAndToken(username if isinstance(username, str) else "")


def _needed_reference(provider: object, *, has_username: bool) -> str | None:
    if provider == Provider.GOOGLE_SERVICE_ACCOUNT:
        return REFERENCES["service_account_key"]
    return REFERENCES["token"] if provider == Provider.STATIC and has_username else None


def _not_needed(name: str, provider: object) -> str:
    if name == REFERENCES["token"] and provider == Provider.STATIC:
        return "a token needs its username; give both, or neither (anonymous)"
    return "this provider has no such field"


def _unknown(name: str) -> str:
    if name in ("token", "serviceAccountKey"):
        return f"a secret never stands in a file: {name}From says where it is read"
    return "there is no such field"


def _with_hint(detail: str) -> str:
    if detail == "expected true or false":
        return f"{detail} (yes, no, on and off are texts here)"
    return detail
