"""Devices and certificates in a file, one a line, in batches for one call each.

spiffe://…/device/press-7   a device, verbatim as in its certificate
serial:0A:BC                the certificates of this serial number, of any issuer
serial:0A:BC CN=Device CA   of this issuer alone
"""

from collections.abc import Iterator, Sequence
from typing import Final

import click
import orjson

from control_plane.commands.api_client import Json
from control_plane.commands.given_file import GivenFile
from control_plane.commands.revocation_list import SERIAL_PREFIX
from control_plane.device_revocations.fields import parse_device_id, parse_issuer, parse_serial
from control_plane.device_revocations.request import MAX_REVOCATIONS
from control_plane.http.http_call import MAX_REVOCATIONS_BODY_BYTES

MAX_FILE_BYTES: Final = 64 * 1024 * 1024  # half a million devices
MAX_NAMED_WRONG_LINES: Final = 20  # a file of another kind is wrong in every line
_ROOM_BYTES: Final = 1024  # of a body, around its items


def read_devices(file: GivenFile, reason: str) -> list[Json]:
    """Return what each line asks for; exit with 2 and the wrong lines, or if there is none."""
    content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise click.UsageError(f"the file is larger than {MAX_FILE_BYTES} bytes")
    asked, wrong = list[Json](), list[str]()
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            asked.append(_parsed(line) | ({"reason": reason} if reason else {}))
        except ValueError as error:
            wrong.append(f"line {number}: {error}")
    if wrong:
        more = len(wrong) - MAX_NAMED_WRONG_LINES
        rest = [f"and {more} more"] if more > 0 else []
        raise click.UsageError("\n".join([*wrong[:MAX_NAMED_WRONG_LINES], *rest]))
    if not asked:
        raise click.UsageError(f"{file.name} names no device, so nothing is revoked")
    return asked


def _parsed(line: bytes) -> Json:
    """Return a line's fields of a body; raise `ValueError`, which quotes nothing."""
    try:
        text = line.decode().strip()
    except UnicodeDecodeError:
        raise ValueError("expected UTF-8 text") from None
    if not text.startswith(SERIAL_PREFIX):
        return {"device": parse_device_id(text)}
    serial, _, issuer = text.removeprefix(SERIAL_PREFIX).partition(" ")
    asked: Json = {"serial": parse_serial(serial)}
    return asked | {"issuer": parse_issuer(issuer)} if issuer else asked


def batches(asked: Sequence[Json]) -> Iterator[list[Json]]:
    """Yield as many as one call takes, by number and by bytes."""
    batch, size = list[Json](), 0
    for item in asked:
        item_bytes = len(orjson.dumps(item)) + 1
        is_full = size + item_bytes > MAX_REVOCATIONS_BODY_BYTES - _ROOM_BYTES
        if batch and (is_full or len(batch) == MAX_REVOCATIONS):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += item_bytes
    if batch:
        yield batch
