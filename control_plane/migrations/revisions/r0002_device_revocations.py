"""Device revocations, by id and in the order of their making."""

from control_plane.migrations.sql_file import run_revision

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the table."""
    run_revision("0002_device_revocations")
