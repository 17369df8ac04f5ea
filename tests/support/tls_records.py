"""A device's end of TLS 1.3 that writes records that no client would write (RFC 8446 5 and 7).

Python's `ssl` shakes hands and reads what the server sends; all that is sent is encrypted here, by
the secret that `ssl` writes into its key log.
"""

import struct
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from tests.support.device_socket import Device

ALERT: Final = 21
HANDSHAKE: Final = 22
APPLICATION_DATA: Final = 23
CLOSE_NOTIFY: Final = bytes([1, 0])
# Each is followed by one of its own in the other direction, or by none.
KEY_UPDATE_REQUESTED: Final = bytes([24, 0, 0, 1, 1])
KEY_UPDATE: Final = bytes([24, 0, 0, 1, 0])

_CIPHER: Final = "TLS_AES_256_GCM_SHA384"
_KEY_BYTES: Final = 32
_IV_BYTES: Final = 12
_SECRET_BYTES: Final = SHA384.digest_size


class RecordWriter:
    """The writing half of a finished handshake."""

    def __init__(self, device: Device, key_log: Path) -> None:
        """Take over before anything was written. The key log holds only this connection."""
        cipher = device.connection.cipher()
        assert cipher is not None
        assert cipher[0] == _CIPHER
        self._socket = device.socket
        self._take(_client_secret(key_log))

    def send(self, content: bytes, kind: int = APPLICATION_DATA) -> None:
        """Send one record."""
        self._socket.sendall(self.record(content, kind))

    def update_keys(self, message: bytes = KEY_UPDATE_REQUESTED) -> None:
        """Send a KeyUpdate, and encrypt all that follows by the next keys."""
        self._socket.sendall(self.key_update(message))

    def key_update(self, message: bytes) -> bytes:
        """Return the record that `update_keys` sends."""
        record = self.record(message, HANDSHAKE)
        self._take(_expand(self._secret, b"traffic upd", _SECRET_BYTES))
        return record

    def record(self, content: bytes, kind: int) -> bytes:
        """Return the next record; it is to be sent before the next."""
        plain = content + bytes([kind])
        header = struct.pack("!BHH", APPLICATION_DATA, 0x0303, len(plain) + 16)
        nonce = int.from_bytes(self._iv) ^ self._number
        self._number += 1
        return header + self._key.encrypt(nonce.to_bytes(_IV_BYTES), plain, header)

    def _take(self, secret: bytes) -> None:
        self._secret = secret
        self._key = AESGCM(_expand(secret, b"key", _KEY_BYTES))
        self._iv = _expand(secret, b"iv", _IV_BYTES)
        self._number = 0


def _client_secret(key_log: Path) -> bytes:
    lines = [line.split(" ") for line in key_log.read_text().splitlines()]
    [secret] = [line[2] for line in lines if line[0] == "CLIENT_TRAFFIC_SECRET_0"]
    return bytes.fromhex(secret)


def _expand(secret: bytes, label: bytes, length: int) -> bytes:
    name = b"tls13 " + label
    info = struct.pack("!HB", length, len(name)) + name + b"\x00"
    return HKDFExpand(SHA384(), length, info).derive(secret)
