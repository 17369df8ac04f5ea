"""When the audit log was exported last."""

from control_plane.migrations.sql_file import run_revision

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the table."""
    run_revision("0005_audit_exports")
