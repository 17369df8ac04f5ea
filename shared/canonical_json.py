"""attrs values to JSON bytes and back: sorted keys, defaults left out, nothing unknown accepted.

These bytes are hashed and signed, so reading is strict: an unknown field, a missing one, a value of
another type, or a text that its own class refuses is an error, never a coercion. A value has
exactly one form. Bytes are refused if writing the value again gives other bytes (a repeated key, a
default spelled out, other spacing). So no two readers can see two values in what was signed.
"""

import base64
import binascii
from collections.abc import Callable
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final, TypeVar
from uuid import UUID

import cattrs
import orjson
from cattrs import Converter
from cattrs.strategies import configure_tagged_union

from shared.oci import RepositoryName
from shared.outside_bytes import Party, reads_bytes_of
from shared.registry_host import RegistryHost
from shared.repository_pattern import RepositoryPattern
from shared.safe_message import SafeMessage

MAX_DOCUMENT_BYTES: Final = 256 * 1024  # a connection with a long CA bundle; refuses a bomb

# cattrs quotes the values it refuses. An unknown union tag is a KeyError, and what is no object
# where a class is wanted is a TypeError or an AttributeError.
_REFUSALS: Final = (
    orjson.JSONDecodeError,
    cattrs.BaseValidationError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
)

_Value = TypeVar("_Value")
Network = IPv4Network | IPv6Network


class InvalidDocumentError(SafeMessage, ValueError):
    """The bytes are not the JSON form of the wanted value; the message never quotes them."""


def to_json(value: object) -> bytes:
    """Return the canonical JSON bytes of an attrs value."""
    return orjson.dumps(_converter.unstructure(value), option=orjson.OPT_SORT_KEYS)


@reads_bytes_of(Party.DATABASE)
def from_json(document: bytes, cls: type[_Value]) -> _Value:
    """Return the value of type `cls`, or raise `InvalidDocumentError`."""
    if len(document) > MAX_DOCUMENT_BYTES:
        raise InvalidDocumentError(f"the document is larger than {MAX_DOCUMENT_BYTES} bytes")
    try:
        value = _converter.structure(orjson.loads(document), cls)
        canonical = to_json(value) == document
    except _REFUSALS:
        raise InvalidDocumentError(f"the document is not a {cls.__name__}") from None
    if not canonical:
        raise InvalidDocumentError(f"the document is not the canonical form of its {cls.__name__}")
    return value


def from_proven_json(document: bytes, cls: type[_Value]) -> _Value:
    """Return the value of a document that `from_json` has accepted before, in another process."""
    return _converter.structure(orjson.loads(document), cls)


def register_union(union: object, kinds: dict[type, str]) -> None:
    """Have a union of attrs classes carry its `kind` in JSON."""
    configure_tagged_union(union, _converter, tag_name="kind", tag_generator=lambda cls: kinds[cls])


def format_time(moment: datetime) -> str:
    """Return RFC 3339 in UTC with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _exactly(kind: type[_Value]) -> Callable[[object, object], _Value]:
    def structure(value: object, _: object) -> _Value:
        if type(value) is not kind:
            raise TypeError(f"expected {kind.__name__}")
        return value

    return structure


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("expected text")
    return value


def _bytes(value: object, _: object) -> bytes:
    try:
        return base64.b64decode(_text(value), validate=True)
    except binascii.Error as error:
        raise ValueError("expected base64") from error


def _moment(value: object, _: object) -> datetime:
    text = _text(value)
    # fromisoformat takes many forms. Of those that end in Z only one is written as it was read.
    moment = datetime.fromisoformat(text) if text.endswith("Z") else None
    if moment is None or format_time(moment) != text:
        raise ValueError("expected an RFC 3339 time in UTC with milliseconds")
    return moment


def _uuid(value: object, _: object) -> UUID:
    text = _text(value)
    identifier = UUID(text)
    if str(identifier) != text:
        raise ValueError("expected a UUID in its canonical form")
    return identifier


def _make_converter() -> Converter:
    converter = Converter(forbid_extra_keys=True, omit_if_default=True)
    for primitive in (str, int, bool, float):
        converter.register_structure_hook(primitive, _exactly(primitive))
    converter.register_structure_hook(bytes, _bytes)
    converter.register_unstructure_hook(bytes, lambda raw: base64.b64encode(raw).decode())
    converter.register_structure_hook(datetime, _moment)
    converter.register_unstructure_hook(datetime, format_time)
    converter.register_structure_hook(UUID, _uuid)
    converter.register_unstructure_hook(UUID, str)
    converter.register_structure_hook(Network, lambda value, _: ip_network(_text(value)))
    for network in (IPv4Network, IPv6Network, Network):
        converter.register_unstructure_hook(network, str)
    for value in (RegistryHost, RepositoryName, RepositoryPattern):
        converter.register_structure_hook(value, lambda text, cls: cls.parse(_text(text)))
        converter.register_unstructure_hook(value, str)
    return converter


_converter: Final = _make_converter()
