"""A server of TLS 1.2 may ask for another handshake at any time, and again; it gets none."""

import contextlib
import ssl
from pathlib import Path

from OpenSSL import SSL

from deploy.dev.device_ca import CertificateAuthority
from shared.upstream.tls import client_tls_of

TURNS = 10  # a handshake takes four
ANY_BYTES = 64 * 1024


def turn(
    client: ssl.SSLObject, sent: ssl.MemoryBIO, got: ssl.MemoryBIO, server: SSL.Connection
) -> None:
    """Let each side do what it can, and give the other what it said."""
    with contextlib.suppress(ssl.SSLError):
        client.do_handshake()
        client.read(1)
    if said := sent.read():
        server.bio_write(said)
    with contextlib.suppress(SSL.Error):
        server.do_handshake()
        server.recv(1)
    with contextlib.suppress(SSL.Error):
        got.write(server.bio_read(ANY_BYTES))


def test_a_server_gets_no_second_handshake(tmp_path: Path) -> None:
    """Over a connection that has had one."""
    authority = CertificateAuthority.create()
    files = authority.issue_server().write(tmp_path, "server")
    tls = SSL.Context(SSL.TLS_SERVER_METHOD)
    tls.use_certificate_chain_file(str(files.certificate))
    tls.use_privatekey_file(str(files.key))
    tls.set_max_proto_version(SSL.TLS1_2_VERSION)
    server = SSL.Connection(tls, None)
    server.set_accept_state()
    got, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_tls_of([authority.certificate]).wrap_bio(got, sent, server_hostname="localhost")
    for _ in range(TURNS):
        turn(client, sent, got, server)
    first = server.get_finished()
    assert first is not None
    assert server.renegotiate()
    for _ in range(TURNS):
        turn(client, sent, got, server)
    assert server.get_finished() == first
