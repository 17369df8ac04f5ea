"""Values of otherNames that no CA writes in earnest: long, deep, of other lengths, and cut."""

from collections.abc import Mapping, Sequence
from typing import Final

from shared.other_name import (
    HARDWARE_MODULE_NAME,
    MAX_OTHER_NAME_BYTES,
    PERMANENT_IDENTIFIER,
)
from tests.support.fleet_certificates import HARDWARE_MODULE, USER_PRINCIPAL_NAME, der

KINDS: Final = (HARDWARE_MODULE_NAME, PERMANENT_IDENTIFIER, USER_PRINCIPAL_NAME)
MOST_LEVELS: Final = 500  # in as many bytes as are read
_OID: Final = b"\x06\x01\x2a"


def deep(levels: int, tag: int = 0x30) -> bytes:
    """Return so many constructed values in each other."""
    value = b""
    for _ in range(levels):
        value = der(tag, value)
    return value


def numbered(count: int) -> list[bytes]:
    """Return hardware modules with other serial numbers."""
    return [der(0x30, _OID + der(4, number.to_bytes(4))) for number in range(count)]


LONG: Final[Mapping[str, Sequence[bytes]]] = {
    "a serial number of 60,000 bytes": [der(0x30, _OID + der(4, bytes(60_000)))],
    "a string of 60,000 bytes": [der(0x0C, b"a" * 60_000)],
    "a type of 60,000 bytes": [
        der(0x30, der(6, b"\x2a" + b"\x81" * 60_000 + b"\0") + der(4, b"a"))
    ],
    "a type as long as is read": [
        der(0x30, der(6, b"\x2a" + b"\xff" * (MAX_OTHER_NAME_BYTES - 20) + b"\x7f") + der(4, b"a"))
    ],
    "3,000 names": numbered(3_000),
    "40 names as long as are read": [der(0x0C, b"a" * (MAX_OTHER_NAME_BYTES - 4))] * 40,
}
DEEP: Final[Mapping[str, Sequence[bytes]]] = {
    "sequences": [deep(MOST_LEVELS)],
    "sets": [deep(MOST_LEVELS, 0x31)],
    "constructed strings": [deep(MOST_LEVELS, 0x2C)],
    "explicit tags": [deep(MOST_LEVELS, 0xA0)],
    "sequences beyond what is read": [deep(10_000)],
    "constructed strings beyond what is read": [deep(10_000, 0x24)],
}
MALFORMED: Final[Mapping[str, Sequence[bytes]]] = {
    "nothing": [b""],
    "a tag alone": [b"\x30"],
    "cut": [HARDWARE_MODULE[:-1]],
    "more behind it": [HARDWARE_MODULE + b"\0"],
    "an indefinite length": [b"\x30\x80" + HARDWARE_MODULE[2:] + b"\0\0"],
    "a length of 126 bytes": [b"\x30\xfe" + b"\xff" * 126],
    "a length beyond memory": [b"\x0c\x88" + b"\x7f" + b"\xff" * 7 + b"a"],
    "a length in more bytes than it needs": [b"\x30\x81" + HARDWARE_MODULE[1:]],
    "a tag without an end": [b"\x3f" + b"\xff" * 1000],
    "a type with a leading zero": [der(0x30, b"\x06\x02\x80\x01" + der(4, b"a"))],
    "a type without an end": [der(0x30, b"\x06\x02\x2a\x81" + der(4, b"a"))],
    "a string that is no UTF-8": [der(0x0C, b"\xff\xfe\xc3\x28")],
    "a string with zeros": [der(0x0C, b"press\0-7")],
}
