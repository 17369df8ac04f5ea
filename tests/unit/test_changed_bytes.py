"""Whichever byte of a file is wrong: it is used as it is, or refused by name, and nothing else."""

import base64
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from control_plane.http import server_tls
from control_plane.http.server_tls import ServerTls, TlsFilesError
from deploy.dev.device_ca import CertificateAuthority
from facade.devices.device_tls import (
    CERTIFICATE,
    DEVICE_CA,
    DEVICE_CRL,
    KEY,
    DeviceTls,
    TlsFiles,
)
from facade.devices.own_certificate import belong_together
from facade.devices.tls import TlsConfigurationError
from shared.keys import (
    InvalidKeyFileError,
    load_sealing_private_keys,
    load_sealing_public_key,
    load_statement_private_key,
    load_statement_public_keys,
    private_pem,
    public_pem,
)

AUTHORITY = CertificateAuthority.create("device CA")
SERVER = CertificateAuthority.create("server CA").issue_server()
STATEMENT_KEY, SEALING_KEY = Ed25519PrivateKey.generate(), X25519PrivateKey.generate()
FILES: Mapping[str, bytes] = {
    CERTIFICATE: SERVER.chain_pem,
    KEY: SERVER.key_pem,
    DEVICE_CA: AUTHORITY.pem,
    DEVICE_CRL: AUTHORITY.crl([1234]),
}
KEYS: Mapping[str, tuple[bytes, Callable[[bytes], object]]] = {
    "statement, private": (private_pem(STATEMENT_KEY), load_statement_private_key),
    "statement, public": (public_pem(STATEMENT_KEY.public_key()), load_statement_public_keys),
    "sealing, private": (private_pem(SEALING_KEY), load_sealing_private_keys),
    "sealing, public": (public_pem(SEALING_KEY.public_key()), load_sealing_public_key),
}


def changed(pem: bytes, bits: tuple[int, ...]) -> Iterator[bytes]:
    """Yield a file of one block with each byte changed of what its base64 stands for."""
    before, label, body, *behind = pem.decode().split("-----")
    content = base64.b64decode(body)
    for position in range(len(content)):
        for bit in bits:
            wrong = bytearray(content)
            wrong[position] ^= bit
            text = base64.encodebytes(bytes(wrong)).decode()
            yield "-----".join((before, label, f"\n{text}", *behind)).encode()


def changed_text(pem: bytes) -> Iterator[bytes]:
    """Yield a file with each of its own bytes changed."""
    for position in range(len(pem)):
        for byte in (0x00, 0xFF, pem[position] ^ 0x01):
            wrong = bytearray(pem)
            wrong[position] = byte
            yield bytes(wrong)


@pytest.mark.parametrize("setting", FILES)
def test_devices_tls_is_made_of_it_and_can_be_asked_or_its_setting_is_named(setting: str) -> None:
    """One changed byte ended the facade while it served, and its start with a traceback."""
    now = datetime.now(UTC)
    refused = 0
    for wrong in changed(FILES[setting], (0x01,)):
        try:
            tls = DeviceTls.load(TlsFiles.of({**FILES, setting: wrong}), "1.3")
        except TlsConfigurationError as error:
            assert str(error).startswith("FACADE_")  # noqa: PT017 - of many, each is looked at
            refused += 1
            continue
        list(tls.certificate.findings(now))
        for moment in (now, now + timedelta(days=36500)):
            tls.trust.standing(moment)
        tls.trust.ends()
        tls.trust.next_updates()
    assert refused


def test_a_broken_file_keeps_its_old_content_and_no_other_back() -> None:
    """A revocation by CRL is taken over, whichever byte of the CAs is wrong."""
    used = DeviceTls.load(TlsFiles.of(FILES), "1.3")
    newer = AUTHORITY.crl([1234, 5678])
    refused_ones = 0
    for wrong in changed(AUTHORITY.pem, (0x01,)):
        try:
            DeviceTls.load(TlsFiles.of({**FILES, DEVICE_CA: wrong, DEVICE_CRL: newer}), "1.3")
        except TlsConfigurationError:
            found = TlsFiles.of({**FILES, DEVICE_CA: wrong, DEVICE_CRL: newer})
            following, refused = used.succeeded_by(found, "1.3")
            if following.files.device_ca != wrong:
                assert (following.files.device_crl, set(refused)) == (newer, {DEVICE_CA})
                refused_ones += 1
    assert refused_ones


@pytest.mark.parametrize("name", KEYS)
def test_a_key_file_holds_a_key_or_is_said_to_hold_none(name: str) -> None:
    """OpenSSL's own errors came through for some bytes."""
    pem, load = KEYS[name]
    for wrong in (*changed(pem, (0x01, 0x80, 0x20)), *changed_text(pem)):
        try:
            load(wrong)
        except InvalidKeyFileError:
            continue


def test_a_server_certificate_and_key_are_a_pair_or_one_of_them_is_named() -> None:
    """The control plane's pair, at its start and when it changes."""
    for setting, pem in (
        (server_tls.CERTIFICATE, SERVER.chain_pem),
        (server_tls.KEY, SERVER.key_pem),
    ):
        pair = {server_tls.CERTIFICATE: SERVER.chain_pem, server_tls.KEY: SERVER.key_pem}
        for wrong in (*changed(pem, (0x01,)), *[*changed_text(pem)][::7]):
            try:
                ServerTls.of(pair | {setting: wrong})
            except TlsFilesError as error:
                assert error.setting in pair  # noqa: PT017 - of many, each is looked at
        for wrong in [*changed(pem, (0x01,))][::7]:
            assert belong_together(wrong, SERVER.key_pem) in {True, False}
