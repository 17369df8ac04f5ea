"""Statements, connections with their revisions, and the audit log."""

from control_plane.migrations.sql_file import run_revision

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the first schema."""
    run_revision("0001_first")
