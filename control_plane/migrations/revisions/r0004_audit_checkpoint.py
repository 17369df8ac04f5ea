"""The signed checkpoint of the audit log."""

from control_plane.migrations.sql_file import run_revision

revision = "0004"
down_revision = "0003"
oldest_program = "0004"  # older ones are ready at their own revision alone


def upgrade() -> None:
    """Add the table."""
    run_revision("0004_audit_checkpoint")
