"""A TLS connection that is decrypted from memory, by cryptography's OpenSSL.

The generator is not to be what is measured. One `recv` of many records is cheaper than OpenSSL's
own two for each record, and this OpenSSL decrypts AES-GCM twice as fast as the one that Python is
linked with.
"""

import socket
from collections.abc import Iterator
from typing import Self

from attrs import define
from OpenSSL import SSL
from OpenSSL._util import ffi, lib

from tests.bench.load.answer import WrongAnswerError
from tests.bench.load.connection import CIPHER, require_cipher
from tests.bench.load.jobs import Identity, Target

RECEIVE_BYTES = 256 * 1024
RECORD_BYTES = 16 * 1024  # a TLS record's most: OpenSSL gives one at a time

# One thread reads one connection after the other: all share it.
_encrypted = memoryview(bytearray(RECEIVE_BYTES))
_record = ffi.new("char[]", RECORD_BYTES)
_decrypted = memoryview(ffi.buffer(_record))


def stream_context(target: Target, device: Identity) -> SSL.Context:
    """Return what a device presents and believes."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_tls13_ciphersuites(CIPHER.encode())
    context.load_verify_locations(target.ca)
    context.set_verify(SSL.VERIFY_PEER)
    context.use_certificate_chain_file(device.certificate)
    context.use_privatekey_file(device.key)
    return context


@define(eq=False)
class TlsStream:
    """One connection of a device."""

    connection: socket.socket
    _tls: SSL.Connection

    @classmethod
    def open(cls, connection: socket.socket, context: SSL.Context) -> Self:
        """Shake hands, blocking."""
        tls = SSL.Connection(context, None)
        tls.set_connect_state()
        tls.set_tlsext_host_name(b"localhost")
        stream = cls(connection, tls)
        while True:
            try:
                tls.do_handshake()
                break
            except SSL.WantReadError:
                stream._flush()
                stream._receive()
        stream._flush()
        require_cipher(tls.get_cipher_name())
        return stream

    def send(self, content: bytes) -> None:
        """Send a request, which the kernel takes at once."""
        self._tls.send(content)
        self._flush()

    def received(self) -> Iterator[memoryview]:
        """Receive once; yield what it decrypts to, each piece until the next one is asked for."""
        self._receive()
        try:
            while True:
                yield self._next_record()
        except SSL.WantReadError:
            return
        except SSL.ZeroReturnError:
            raise WrongAnswerError("the server said goodbye in the middle of an answer") from None

    def _next_record(self) -> memoryview:
        """Return a record, until the next one is decrypted.

        As `recv` of pyOpenSSL, which copies each into two buffers that it allocates: a fifth of the
        generator's CPU.
        """
        tls = self._tls
        count = lib.SSL_read(tls._ssl, _record, RECORD_BYTES)  # noqa: SLF001
        if count <= 0:
            tls._raise_ssl_error(tls._ssl, count)  # noqa: SLF001
        return _decrypted[:count]

    def _receive(self) -> None:
        count = self.connection.recv_into(_encrypted)
        if not count:
            raise WrongAnswerError("the connection was closed in the middle of an answer")
        self._tls.bio_write(_encrypted[:count])

    def _flush(self) -> None:
        try:
            self.connection.sendall(self._tls.bio_read(RECEIVE_BYTES))
        except SSL.WantReadError:  # nothing is to be sent
            return
