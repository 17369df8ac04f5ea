"""What the official image's entrypoint does with what `deploy/compose/compose.yaml` gives it.

Its own address in that file's words: POSTGRES_USER, POSTGRES_DB, POSTGRES_PASSWORD_FILE,
POSTGRES_INITDB_ARGS, PGDATA, and *.sql below /docker-entrypoint-initdb.d/ when the data is new.
"""

import os
import subprocess
import sys
from pathlib import Path

DATA = Path(os.environ["PGDATA"])
SCRIPTS = Path("/docker-entrypoint-initdb.d")
USER, DATABASE = os.environ["POSTGRES_USER"], os.environ["POSTGRES_DB"]


def make_data() -> None:
    """Make the data, the database, and what the scripts make; reached by a socket meanwhile."""
    DATA.mkdir(parents=True, mode=0o700, exist_ok=True)
    subprocess.run(
        [
            *("initdb", "--pgdata", str(DATA), "--username", USER, "--auth-local=trust"),
            *("--pwfile", os.environ["POSTGRES_PASSWORD_FILE"], "--no-sync"),
            *os.environ["POSTGRES_INITDB_ARGS"].split(),
        ],
        check=True,
    )
    with (DATA / "pg_hba.conf").open("a") as access:
        access.write("host all all all scram-sha-256\n")
    control = ["pg_ctl", "--pgdata", str(DATA), "--wait"]
    options = "-c listen_addresses='' -c unix_socket_directories=/var/run/postgresql"
    subprocess.run([*control, "--options", options, "start"], check=True)
    ask = ["psql", "--host=/var/run/postgresql", "--username", USER, "--set=ON_ERROR_STOP=1"]
    create = f'CREATE DATABASE "{DATABASE}"'
    subprocess.run([*ask, "--dbname=postgres", "--command", create], check=True)
    for script in sorted(SCRIPTS.glob("*.sql")):
        subprocess.run([*ask, "--dbname", DATABASE, "--file", str(script)], check=True)
    subprocess.run([*control, "--mode=fast", "stop"], check=True)


if not (DATA / "PG_VERSION").exists():
    make_data()
settings = ["listen_addresses=*", "unix_socket_directories=/var/run/postgresql", "fsync=off"]
words = [word for setting in settings for word in ("-c", setting)]
os.execvp(sys.argv[1], [sys.argv[1], "-D", str(DATA), *words])  # noqa: S606 as an entrypoint does
