"""`python -m tests.support.failing_disk.launcher SOCKET COMMAND...`: a child under the filter.

Hands the filter's descriptor to whoever listens on the socket, then becomes the command.
"""

import os
import socket
import sys

from tests.support.failing_disk.seccomp_filter import install


def main() -> None:
    """Run."""
    path, *command = sys.argv[1:]
    with socket.socket(socket.AF_UNIX) as supervisor:
        supervisor.connect(path)
        listener = install()
        socket.send_fds(supervisor, [b"listener"], [listener])
        os.close(listener)
    os.execvp(command[0], command)  # noqa: S606 - a program and its arguments, no shell


if __name__ == "__main__":
    main()
