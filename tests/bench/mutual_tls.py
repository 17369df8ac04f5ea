"""No server is measured that lets a device in without a certificate."""

import socket
import ssl
from pathlib import Path

from tests.bench.contenders.contender import Contender
from tests.bench.generators import MeasurementError

ANSWER_SECONDS = 10.0
QUESTION = b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def require(contender: Contender, server_ca: Path) -> None:
    """Raise `MeasurementError` if the server answers 200 to somebody without a certificate."""
    context = ssl.create_default_context(cafile=server_ca)
    try:
        with (
            socket.create_connection(("127.0.0.1", contender.port), ANSWER_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as connection,
        ):
            connection.sendall(QUESTION)
            answer = connection.recv(len(QUESTION))
    except (ssl.SSLError, ConnectionError):
        return  # TLS 1.3 tells a client behind its handshake that it is refused
    if b" 200 " in answer:
        raise MeasurementError(f"{contender.name} asks for no certificate")
