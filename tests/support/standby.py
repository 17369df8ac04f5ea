"""A hot standby of a PostgreSQL server, by streaming replication, that may be promoted."""

from pathlib import Path

from typing_extensions import override

from deploy.dev.postgres import Postgres, _environment, program
from deploy.dev.processes import Child, ChildFailedError, Identity


class Standby(Postgres):
    """Follows `primary`, which runs when this one starts for the first time."""

    def __init__(self, folder: Path, primary: Postgres) -> None:
        super().__init__(folder)
        self._primary = primary

    def promote(self) -> None:
        """Make it a primary; returns once it is."""
        if self.sql("SELECT pg_promote(true, 30)") != "t":
            raise ChildFailedError("the standby was not promoted")

    def catch_up(self) -> None:
        """Return once everything is here that the primary has written so far."""
        position = self._primary.sql("SELECT pg_current_wal_lsn()")
        self.child.wait_until(
            lambda: self.sql(f"SELECT pg_last_wal_replay_lsn() >= '{position}'") == "t"
        )

    @override
    def _make_data(self, identity: Identity | None) -> None:
        self._password_file.write_text((self._primary.folder / "superuser.password").read_text())
        child = Child.start(
            [
                program("pg_basebackup"),
                f"--dbname={self._primary.superuser_url}",
                f"--pgdata={self._data}",
                "--write-recovery-conf",
                "--checkpoint=fast",
                "--no-sync",
            ],
            log=self.folder / "basebackup.log",
            environment=_environment(),
            identity=identity,
        )
        if child.process.wait() != 0:
            raise ChildFailedError(f"pg_basebackup failed:\n{child.log_tail}")
