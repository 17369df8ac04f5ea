"""A home folder with all that PostgreSQL's libraries look for by themselves, and must not find."""

from pathlib import Path

GARBAGE = "-----BEGIN CERTIFICATE-----\ncanary-in-the-home-folder\n-----END CERTIFICATE-----\n"


def trapped_home(folder: Path, password: str = GARBAGE) -> Path:
    """Return a home folder whose files make a connection fail, or log it in as somebody."""
    home = folder / "home"
    (home / ".postgresql").mkdir(parents=True)
    for name in ("root.crt", "root.crl", "postgresql.crt", "postgresql.key"):
        (home / ".postgresql" / name).write_text(GARBAGE)
    (home / ".pgpass").write_text(f"*:*:*:*:{password}")
    (home / ".pgpass").chmod(0o600)
    (home / ".pg_service.conf").write_text("[other]\nhost=127.0.0.1\nport=1\n")
    return home
