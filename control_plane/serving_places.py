"""Which connection serves a place, by what is signed.

The unique index of places is over columns, which nobody signs: a row whose host was changed, or
that is marked as revoked, would leave its place to a second connection. Facades would serve both.
"""

from typing import Final
from uuid import UUID

import orjson

from control_plane.belief import believe
from control_plane.envelope_columns import envelope_columns, envelope_of_form
from control_plane.errors import ConflictError
from control_plane.proofs import Proofs
from control_plane.signer import Verifier
from shared.approved_connection import approved_connection
from shared.connection import ConnectionDocument
from shared.statement import ConnectionApproval, StatementRefusedError

# An approval holds its document as a JSON text in JSON. All are looked through when somebody
# connects or approves.
_OF_HOST: Final = f"""
SELECT subject, {envelope_columns()} FROM public.statements
WHERE starts_with(subject, 'connection/') AND position($1::bytea IN payload) > 0
"""  # noqa: S608 - constants


async def require_free_place(
    proofs: Proofs, document: ConnectionDocument, connection_id: UUID, verifier: Verifier
) -> None:
    """Raise `ConflictError` if another connection is approved for the document's place."""
    told = orjson.dumps(f'"host":{orjson.dumps(str(document.host)).decode()}')[1:-1]
    rows = await proofs.connection.fetch(_OF_HOST, told)
    evidences = await proofs.evidences({row["subject"]: envelope_of_form(row) for row in rows})
    for evidence in evidences.values():
        approval = believe(evidence, verifier).statement
        if not isinstance(approval, ConnectionApproval) or approval.connection_id == connection_id:
            continue
        try:
            serving = approved_connection(approval).document
        except StatementRefusedError:
            continue  # facades do not serve it either
        if (serving.host, serving.repository_prefix) == (
            document.host,
            document.repository_prefix,
        ):
            message = (
                f"another connection is approved for this place, {approval.connection_id}, whose"
                " row was changed in the database: revoke that one first"
            )
            raise ConflictError(message, {"id": str(approval.connection_id)})
