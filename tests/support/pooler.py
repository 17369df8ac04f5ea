"""Debian's PgBouncer in front of a PostgreSQL server: a transaction pooler, as many have one.

Every transaction may get another session of the server: LISTEN is accepted, but nothing is heard.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.dev import debian
from deploy.dev.postgres import Postgres, _identity
from deploy.dev.processes import Child, free_port, port_answers
from tests.support.facade_database import FACADE_PASSWORD, FACADE_ROLE

LIBRARY = "libc-ares2"  # the one that PgBouncer needs and a small machine does not have


@contextmanager
def transaction_pooler(
    folder: Path,
    server: Postgres,
    database: str,
    role: str = FACADE_ROLE,
    password: str = FACADE_PASSWORD,
) -> Iterator[int]:
    """Give the port of a pooler of two sessions, that one role may use."""
    program = debian.program("pgbouncer", "pgbouncer")
    if not list(debian.UNPACKED.glob(f"{LIBRARY}/usr/lib/*/libcares.so.2")):
        debian.unpack([LIBRARY])
    (library,) = debian.UNPACKED.glob(f"{LIBRARY}/usr/lib/*/libcares.so.2")
    port = free_port()
    (folder / "users.txt").write_text(f'"{role}" "{password}"\n')
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n{database} = host=127.0.0.1 port={server.port}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = scram-sha-256\nauth_file = {folder}/users.txt\n"
        "pool_mode = transaction\ndefault_pool_size = 2\n"
    )
    child = Child.start(
        [program, folder / "pgbouncer.ini"],
        log=folder / "pgbouncer.log",
        environment={"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": str(library.parent)},
        identity=_identity(folder),
    )
    try:
        child.wait_until(lambda: port_answers(port))
        yield port
    finally:
        child.kill()
