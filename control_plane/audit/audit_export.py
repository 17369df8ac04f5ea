"""An export of the audit log, verified without the database, or against the present log."""

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Final, Protocol

import orjson

from control_plane.audit.log_reading import AuditLine, ChainReport, read_line
from control_plane.proof.signer import Verifier
from shared.statement import StoredStatement

MAX_LINE_BYTES: Final = 2 * 1024 * 1024  # an entry of 256 KiB, each of its bytes an escape
_FIELDS: Final = frozenset({"sequence", "type", "key_id", "payload", "signature"})


class Readable(Protocol):
    """A file of bytes."""

    def readline(self, limit: int, /) -> bytes:
        """Return a line, or as much of it as the limit allows."""


def verify_export(file: Readable, verifier: Verifier) -> ChainReport:
    """Verify an export: its signatures, and that each entry follows the one before it."""
    report = ChainReport()
    for line in _lines(file, report, verifier):
        report.add(line)
    return report


async def verify_export_against(
    file: Readable, verifier: Verifier, present: AsyncIterator[AuditLine]
) -> ChainReport:
    """Verify an export against the present log, which must begin with all of it."""
    report, now_there = ChainReport(), await anext(present, None)
    for exported in _lines(file, report, verifier):
        report.add(exported)
        while now_there is not None and now_there.sequence < exported.sequence:
            now_there = await anext(present, None)
        if now_there is None or now_there.sequence != exported.sequence:
            report.fault(f"entry {exported.sequence}", "the database does not have it any more")
        elif now_there.stored != exported.stored:
            report.fault(f"entry {exported.sequence}", "the database has another in its place")
    return report


def _lines(file: Readable, report: ChainReport, verifier: Verifier) -> Iterator[AuditLine]:
    """Yield the entries; a line that is none is noted in the report."""
    for number, content in enumerate(_contents(file), start=1):
        try:
            sequence, stored = parse_exported(content)
        except ValueError as error:
            report.fault(f"line {number}", str(error))
        else:
            yield read_line(sequence, stored, verifier)


def _contents(file: Readable) -> Iterable[bytes]:
    return iter(lambda: file.readline(MAX_LINE_BYTES), b"")


def parse_exported(line: bytes) -> tuple[int, StoredStatement]:
    """Return the place and the envelope of a line; raise `ValueError`, which quotes nothing."""
    try:
        entry = orjson.loads(line)
    except orjson.JSONDecodeError:
        entry = None
    message = "this is no entry of an export"
    if not isinstance(entry, dict) or entry.keys() != _FIELDS:
        raise ValueError(message)
    sequence = entry.pop("sequence")
    if type(sequence) is not int or not all(type(value) is str for value in entry.values()):
        raise ValueError(message)
    try:
        signature = bytes.fromhex(entry["signature"])
    except ValueError:
        raise ValueError(message) from None
    payload = entry["payload"].encode()
    return sequence, StoredStatement(entry["type"], entry["key_id"], payload, signature)
