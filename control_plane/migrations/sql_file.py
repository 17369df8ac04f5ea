"""Running a plain SQL file of several statements, which SQLAlchemy's asyncpg dialect cannot.

Its prepared statements refuse more than one command, so the text goes to asyncpg itself, in the
transaction that alembic has begun.
"""

from pathlib import Path

from alembic import op
from sqlalchemy import Connection

FOLDER = Path(__file__).parent


def run_revision(name: str) -> None:
    """Run `revisions/<name>.sql` within the present alembic revision."""
    run_sql_file(op.get_bind(), FOLDER / "revisions" / f"{name}.sql")


def run_sql_file(connection: Connection, path: Path) -> None:
    """Run the file's statements in the connection's transaction."""
    run_sql(connection, path.read_text(encoding="utf-8"))


def run_sql(connection: Connection, statements: str) -> None:
    """Run several statements in the connection's transaction."""
    connection.exec_driver_sql("SELECT 1")  # the dialect begins its transaction at the first one
    connection.connection.run_async(lambda driver: driver.execute(statements))
