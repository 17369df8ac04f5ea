"""Which connection serves a place, by what is signed.

The unique index of places is over columns, which nobody signs. Whoever changes a row's host, or
marks it as revoked, would free its place for a second connection, and facades would serve both.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from control_plane.connections.state import place_of
from control_plane.database.one_trip import Part, Row
from control_plane.errors import ConflictError
from control_plane.proof.belief import believe
from control_plane.proof.envelope_columns import envelope_columns, envelope_names
from control_plane.proof.proofs import Proofs
from control_plane.proof.signer import Verifier
from control_plane.proof.statement_store import statement_rows
from shared.approved_connection import approved_connection
from shared.connection import ConnectionDocument
from shared.statement import ConnectionApproval, StatementRefusedError, connection_subject

# An approval holds its document as a JSON text in JSON. All approvals are searched when somebody
# connects or approves. Only those of this very place are verified: a host may have thousands.
_PREFIX: Final = '\\"repository_prefix\\":'
_OF_PLACE: Final = f"""
WITH place AS ({{place}})
SELECT subject, {envelope_columns()} FROM public.statements, place
WHERE starts_with(subject, 'connection/')
  AND position(convert_to('\\"host\\":\\"' || place.host || '\\"', 'UTF8') IN payload) > 0
  AND CASE place.prefix
    WHEN '' THEN position(convert_to('{_PREFIX}', 'UTF8') IN payload) = 0
    ELSE position(convert_to('{_PREFIX}\\"' || place.prefix || '\\"', 'UTF8') IN payload) > 0
  END
"""  # noqa: S608 - constants
_COLUMNS: Final = ("subject", *envelope_names())


def approvals_of_place(document: ConnectionDocument) -> Part:
    """Return the read of what may be approved for a document's place.

    Neither a host's name nor a prefix needs an escape in JSON.
    """
    place = "SELECT $1::text AS host, $2::text AS prefix"
    return Part(_COLUMNS, _OF_PLACE.format(place=place), place_of(document))


def approvals_beside(connection_id: UUID) -> Part:
    """Return the read of what may be approved for the place that a connection's row has."""
    place = "SELECT host, repository_prefix AS prefix FROM public.connections WHERE id = $1"
    return Part(_COLUMNS, _OF_PLACE.format(place=place), (connection_id,))


async def require_free_place(
    rows: Sequence[Row],
    proofs: Proofs,
    document: ConnectionDocument,
    connection_id: UUID,
    verifier: Verifier,
) -> None:
    """Raise `ConflictError` if another connection is approved for the document's place.

    The rows are those of the document's place.
    """
    others = statement_rows(rows)
    others.pop(connection_subject(connection_id), None)
    for evidence in (await proofs.evidences(others)).values():
        approval = believe(evidence, verifier).statement
        if not isinstance(approval, ConnectionApproval):
            continue
        try:
            serving = approved_connection(approval).document
        except StatementRefusedError:
            continue  # facades do not serve it either
        if (serving.host, serving.repository_prefix) == (
            document.host,
            document.repository_prefix,
        ):
            raise ConflictError(
                f"another connection is approved for this place, {approval.connection_id}, whose"
                " row was changed in the database: revoke that one first",
                {
                    "id": str(approval.connection_id),
                    "host": str(serving.host),
                    "repository_prefix": str(serving.repository_prefix or ""),
                    "status": "approved",
                },
            )
