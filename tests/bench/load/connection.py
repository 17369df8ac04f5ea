"""A device's connection: mutual TLS 1.3, verified, never resumed; or plain HTTP."""

import socket
import ssl

from deploy.dev.device import MANIFEST_TYPES
from tests.bench.load.jobs import Identity, Target

# What podman, skopeo and containerd negotiate (Go's first choice); `generator.py` offers no other.
CIPHER = "TLS_AES_128_GCM_SHA256"
# What all have. The storm's devices, of pyOpenSSL, and the facade would take X25519MLKEM768, which
# nginx' OpenSSL 3.0 does not know: 45 microseconds of the facade that no other spends.
KEY_EXCHANGE = "X25519"
TIMEOUT_SECONDS = 120.0  # of one read; a server that is silent for so long is not measured

ACCEPT = ", ".join(MANIFEST_TYPES)  # distribution knows no `*/*`


class OtherCipherError(Exception):
    """A server negotiated another cipher, or another key exchange, than the others.

    The figures could not be compared.
    """


def device_context(target: Target, device: Identity) -> ssl.SSLContext:
    """Return what a device presents and believes."""
    context = ssl.create_default_context(cafile=target.ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(device.certificate, device.key)
    return context


def connect(target: Target, *, receive_buffer: int | None = None) -> socket.socket:
    """Return a blocking TCP connection; `receive_buffer` bytes wait in the kernel at most."""
    connection = socket.socket()
    connection.settimeout(TIMEOUT_SECONDS)
    if receive_buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.connect(("127.0.0.1", target.port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def connect_device(
    target: Target, device: ssl.SSLContext, *, receive_buffer: int | None = None
) -> ssl.SSLSocket:
    """Return a blocking connection after its handshake."""
    plain = connect(target, receive_buffer=receive_buffer)
    connection = device.wrap_socket(plain, server_hostname="localhost")
    cipher = connection.cipher()
    require_cipher(cipher and cipher[0])
    return connection


def require_cipher(name: str | None) -> None:
    """Raise `OtherCipherError` unless it is the one that all servers are measured with."""
    if name != CIPHER:
        raise OtherCipherError(str(name))


def require_key_exchange(name: str | None) -> None:
    """Raise `OtherCipherError` unless it is the one that all servers are measured with."""
    if (name or "").upper() != KEY_EXCHANGE:
        raise OtherCipherError(str(name))


def request(target: Target, path: str, **more: str) -> bytes:
    """Return a GET, with more header fields if any, on a connection that stays open."""
    fields = {"Host": "localhost", "Accept": ACCEPT, **target.headers, **more}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode()
