"""`python -m tests.support.failing_disk.launcher NAME COMMAND...`: a child under the filter.

Hands the filter's descriptor to whoever listens under the name, then becomes the command.
"""

import os
import socket
import sys

from tests.support.failing_disk.seccomp_filter import install


def address_of(name: str) -> str:
    """Return a socket's address that is no file: a path of one may have 107 characters at most."""
    return f"\0{name}"  # unix(7), "abstract"


def main() -> None:
    """Run."""
    name, *command = sys.argv[1:]
    with socket.socket(socket.AF_UNIX) as supervisor:
        supervisor.connect(address_of(name))
        listener = install()
        socket.send_fds(supervisor, [b"listener"], [listener])
        os.close(listener)
    os.execvp(command[0], command)  # noqa: S606 - a program and its arguments, no shell


if __name__ == "__main__":
    main()
