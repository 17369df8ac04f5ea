"""The SQL of device revocations: rows in, rows out, nothing believed."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from control_plane.database.one_trip import Part, Row, RowChange
from control_plane.device_revocations.state import StoredDeviceRevocation
from control_plane.proof.envelope_columns import envelope_columns, envelope_names, envelope_of_form
from control_plane.proof.proofs import Proofs
from shared.canonical_json import MAX_DOCUMENT_BYTES
from shared.statement import DeviceRevocation

# A row without such a time has no place in the order.
_IS_LISTED: Final = "(r.lifted_at IS NULL AND r.revoked_at BETWEEN '2000-01-01Z' AND '9000-01-01Z')"
# A row's id may differ from that of the signed revocation.
_HAS_ID: Final = (
    "(starts_with(r.id::text, $2)"
    " OR position(convert_to($2, 'UTF8') IN CASE WHEN octet_length(s.payload) <="
    f" {MAX_DOCUMENT_BYTES} THEN s.payload END) > 0)"
)
_COLUMNS: Final = ("id", "subject", "made_at", *envelope_names("statement_"))
_SELECT: Final = f"""
SELECT r.id, r.subject, CASE WHEN {_IS_LISTED} THEN r.revoked_at END AS made_at,
       {envelope_columns("s", "statement_")}
FROM public.device_revocations r
LEFT JOIN public.statements s ON s.subject = r.subject
"""  # noqa: S608 - constants
_LISTED_SUBJECTS: Final = f"""
SELECT r.subject FROM public.device_revocations r
WHERE {_IS_LISTED} AND starts_with(r.subject, $1)
"""  # noqa: S608 - constants


def revocation_row(revocation_id: UUID) -> Part:
    """Return the read of the row of an id."""
    return Part(_COLUMNS, f"{_SELECT} WHERE r.id = $1", (revocation_id,))


def revocation_row_of(subject: str) -> Part:
    """Return the read of the row of a subject."""
    return Part(_COLUMNS, f"{_SELECT} WHERE r.subject = $1", (subject,))


def revocation_rows(
    id_beginning: str,
    subject_beginning: str,
    *,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> Part:
    """Return the read of what was not lifted, in the order of its making, after `after`."""
    condition = " AND (r.revoked_at, r.id) > ($4, $5)" if after else ""
    return Part(
        _COLUMNS,
        f"{_SELECT} WHERE {_IS_LISTED} AND starts_with(r.subject, $1) AND {_HAS_ID}{condition}"
        " ORDER BY r.revoked_at, r.id LIMIT $3",
        (subject_beginning, id_beginning, limit, *(after or ())),
    )


def listed_subjects(subject_beginning: str) -> Part:
    """Return the read of the listed rows' subjects that begin so."""
    return Part(("subject",), _LISTED_SUBJECTS, (subject_beginning,))


async def revocations_of(rows: Sequence[Row], proofs: Proofs) -> list[StoredDeviceRevocation]:
    """Return the revocations that were read, with what proves them."""
    statements = {row["subject"]: envelope_of_form(row, "statement_") for row in rows}
    evidences = await proofs.evidences(statements)
    return [
        StoredDeviceRevocation(
            id=row["id"],
            subject=row["subject"],
            made_at=row["made_at"],
            evidence=evidences[row["subject"]],
        )
        for row in rows
    ]


def put_device_revocations(revocations: Sequence[DeviceRevocation]) -> RowChange:
    """Return the change that has each listed as the revocation of its subject."""
    return RowChange(
        "INSERT INTO public.device_revocations (subject, id, revoked_at)"
        " SELECT * FROM unnest($1::text[], $2::uuid[], $3::timestamptz[])"
        " ON CONFLICT (subject) DO UPDATE"
        " SET id = excluded.id, revoked_at = excluded.revoked_at, lifted_at = NULL",
        (
            [each.subject for each in revocations],
            [each.revocation_id for each in revocations],
            [each.revoked_at for each in revocations],
        ),
    )


def set_lifted(revocation_id: UUID, at: datetime) -> RowChange:
    """Return the change after which the revocation is not listed any more."""
    return RowChange(
        "UPDATE public.device_revocations SET lifted_at = $2 WHERE id = $1", (revocation_id, at)
    )
