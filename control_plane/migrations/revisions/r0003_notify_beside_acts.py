"""Acts that notify while PostgreSQL's notification queue has room, and go on without it."""

from control_plane.migrations.sql_file import run_revision

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Put the trigger's function in place of the one before."""
    run_revision("0003_notify_beside_acts")
