"""The SQL of a list's filter: which rows may show a connection that was asked for.

A row is left out only if its view, were all of it believed, would not be wanted. What is believed
is decided afterwards, by the view. A row whose statement is not believed may be left out by these
conditions; a list of the connections with a problem asks none of them.
"""

from collections.abc import Callable, Collection, Iterator
from typing import Final

import orjson

from control_plane.connections.filter import ConnectionFilter
from control_plane.connections.state import Status
from control_plane.proof.actions import REVISION_ACTIONS
from shared.canonical_json import MAX_DOCUMENT_BYTES, format_time
from shared.connection import Provider
from shared.statement import ConnectionApproval, ConnectionRevocation

Add = Callable[[object], str]  # takes an argument, and returns the name that it has in the SQL

_KINDS: Final = {
    Provider.STATIC: ("anonymous", "username_and_token"),
    Provider.GOOGLE_SERVICE_ACCOUNT: ("google_service_account",),
    Provider.AWS_ECR: ("ecr_role",),
}
_TIME: Final = r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{3}Z)"
_APPROVED: Final = f"coalesce(s.type = '{ConnectionApproval.TYPE}', false)"
_REVOKED: Final = f"coalesce(s.type = '{ConnectionRevocation.TYPE}', false)"


def list_conditions(
    wanted: ConnectionFilter, known_keys: Collection[str], add: Add
) -> Iterator[str]:
    """Yield conditions on the tables of a list: c, its statement s, its revisions a and d."""
    if wanted.id_beginning:
        yield f"starts_with(c.id::text, {add(wanted.id_beginning)}::text)"
    if wanted.host:
        told = orjson.dumps({"host": str(wanted.host)})[1:-1]
        yield f"(c.host = {add(str(wanted.host))}::text OR {_says(told, add)})"
    if wanted.status:
        yield _of_status(wanted.status, known_keys, add)
    if wanted.provider:
        kinds = [orjson.dumps({"kind": kind})[1:-1] for kind in _KINDS[wanted.provider]]
        yield f"({' OR '.join(_says(kind, add) for kind in kinds)})"
    if wanted.has_ca:
        yield _says(b'"ca_certificate":', add)
    if wanted.expires_before:
        yield _ending(add(format_time(wanted.expires_before)), add(list(REVISION_ACTIONS)))
    if wanted.found_text:
        yield _containing(add(wanted.found_text))


def _of_status(status: Status, known_keys: Collection[str], add: Add) -> str:
    match status:
        case Status.APPROVED:
            return _APPROVED
        case Status.PENDING:  # also what a key signed that is not configured
            return f"(NOT {_APPROVED} OR s.key_id <> ALL ({add(sorted(known_keys))}::text[]))"
        case Status.REVOKED:  # a lone draft that was discarded has no statement
            return f"({_REVOKED} OR c.revoked_at IS NOT NULL OR s.subject IS NULL)"


def _says(told: bytes, add: Add) -> str:
    """Return the condition that a document says this, in an approval or in a revision."""
    in_payload = orjson.dumps(told.decode())[1:-1]  # a JSON text in JSON
    signed, stored = add(in_payload), add(told)
    columns = (("s.payload", signed), ("a.document", stored), ("d.document", stored))
    found = (f"position({told}::bytea IN {_bounded(column)}) > 0" for column, told in columns)
    return f"({' OR '.join(found)})"


def _ending(before: str, actions: str) -> str:
    """Return the condition that an approval or a credential ends before a time.

    A payload is canonical JSON. The document in it is a text whose quotes are escaped, so nothing
    in that looks like a field.
    """
    # The entry of each act upon the revisions may say when the credential ends.
    ends = _found("e.payload", "credential_expires_at")
    return f"""NOT {_REVOKED} AND (
      {_found("s.payload", "expires_at")} < {before}::text COLLATE "C"
      OR EXISTS (SELECT FROM public.audit_entries e
        WHERE e.about = 'connection/' || c.id::text AND e.action = ANY ({actions}::text[])
          AND CASE WHEN position('"credential_expires_at"'::bytea IN e.payload) > 0
              THEN {ends} < {before}::text COLLATE "C" END))"""


def _found(column: str, field: str) -> str:
    """Return the time that a field of a payload has; few have one, and those alone are read."""
    return (
        f'CASE WHEN position(\'"{field}":"\'::bytea IN {column}) > 0 THEN'
        f""" substring(encode({_bounded(column)}, 'escape') FROM '"{field}":"{_TIME}"') END"""
    )


def _containing(text: str) -> str:
    """Return the condition that a text stands where a view may show it, in whatever case."""
    shown = "c.host || '/' || c.repository_prefix || ' ' || c.description"
    documents = " || ".join(
        f"coalesce(encode({_bounded(column)}, 'escape'), '')"
        for column in ("s.payload", "d.document", f"CASE WHEN NOT {_APPROVED} THEN a.document END")
    )
    found = (f"position({text}::text IN lower({each})) > 0" for each in (shown, documents))
    return f"({' OR '.join(found)})"


def _bounded(column: str) -> str:
    return f"CASE WHEN octet_length({column}) <= {MAX_DOCUMENT_BYTES} THEN {column} END"
