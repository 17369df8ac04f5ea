"""PEM as companies have it (RFC 7468): blocks, with anything before, between and after them.

Files come with comments in any language, with what `openssl x509 -text` prints, with a byte order
mark, in UTF-8, UTF-16 or an older encoding, with lines that end in any way or are indented. All of
that is read, and only the blocks count. A block that does not end is refused, because the file may
be cut off.
"""

import codecs
import re
from typing import Final

from attrs import field, frozen
from cryptography import x509

from shared.outside_bytes import Party, reads_bytes_of
from shared.safe_message import SafeMessage

_BEGIN: Final = "-----BEGIN "
_END: Final = "-----END "
_DASHES: Final = "-----"
_LABEL: Final = re.compile(r"[A-Z0-9][A-Z0-9 ]{0,62}", re.ASCII)  # the longest in use has 21
_CERTIFICATES: Final = frozenset({"CERTIFICATE", "X509 CERTIFICATE"})
_TRUSTED: Final = "TRUSTED CERTIFICATE"
_PRIVATE_KEY: Final = "PRIVATE KEY"  # the last words of every label of one


class InvalidPemError(SafeMessage, ValueError):
    """The file does not hold what is wanted; the message says why and quotes nothing of it."""


@frozen
class PemBlock:
    """One block. `pem` is its lines alone, in ASCII, as every library reads them."""

    label: str
    pem: bytes = field(repr=False)

    @property
    def is_private_key(self) -> bool:
        """Whether it is a private key of any kind, encrypted or not."""
        return self.label.endswith(_PRIVATE_KEY)


def decoded(file: bytes) -> str:
    """Return a file's text. A byte order mark says how it is encoded; else UTF-8, else Latin-1."""
    if file.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return file.decode("utf-16", errors="replace")
    try:
        return file.decode("utf-8-sig")
    except UnicodeDecodeError:
        return file.decode("latin-1")  # Latin-1 reads every byte, and PEM itself is ASCII


@reads_bytes_of(Party.FILE, Party.OPERATOR)
def pem_blocks(text: bytes | str) -> list[PemBlock]:
    """Return the blocks of a file or a text, in their order; raise `InvalidPemError`.

    Takes time in proportion to the length, whatever the text is.
    """
    text = text if isinstance(text, str) else decoded(text)
    blocks = list[PemBlock]()
    begin = text.find(_BEGIN)
    while begin >= 0:
        block, behind = _block(text, begin)
        blocks.append(block)
        begin = text.find(_BEGIN, behind)
    return blocks


def load_certificates(text: bytes | str) -> list[x509.Certificate]:
    """Return the certificates, at least one; raise `InvalidPemError`. Other blocks are passed over.

    A TRUSTED CERTIFICATE is refused: it bears OpenSSL's own settings of what it is trusted for, and
    to pass over them would trust more than the file says.
    """
    blocks = pem_blocks(text)
    if any(block.label == _TRUSTED for block in blocks):
        raise InvalidPemError(
            "it holds a TRUSTED CERTIFICATE, whose trust settings are not read; "
            "make it a plain one with `openssl x509 -in FILE -out FILE`"
        )
    found = [block for block in blocks if block.label in _CERTIFICATES]
    if not found:
        raise InvalidPemError("it holds no certificate in PEM form")
    return [_certificate(number, block) for number, block in enumerate(found, start=1)]


def private_key_block(text: bytes | str) -> PemBlock:
    """Return the first private key's block, still to be parsed; raise `InvalidPemError`.

    A certificate may stand beside it, and curve parameters before it (`openssl ecparam -genkey`).
    """
    for block in pem_blocks(text):
        if block.is_private_key:
            return block
    raise InvalidPemError("it holds no private key in PEM form")


def _block(text: str, begin: int) -> tuple[PemBlock, int]:
    """Return the block that begins there, and where it ends."""
    body = text.find(_DASHES, begin + len(_BEGIN))
    label = text[begin + len(_BEGIN) : body] if body >= 0 else ""
    if not _LABEL.fullmatch(label):
        raise InvalidPemError("a block's first line is damaged")
    last = f"{_END}{label}{_DASHES}"
    body += len(_DASHES)
    end = text.find(_END, body)
    if not text.startswith(last, max(end, 0)) or text.find(_BEGIN, body, end) >= 0:
        raise InvalidPemError("a block has no end of its own; is the file cut off?")
    lines = [f"{_BEGIN}{label}{_DASHES}", *_lines(text[body:end]), last, ""]
    return PemBlock(label, "\n".join(lines).encode("ascii")), end + len(last)


def _lines(body: str) -> list[str]:
    if not body.isascii():
        raise InvalidPemError("a block holds something beside base64")
    lines = [line.strip() for line in body.splitlines()]
    # An empty line stands between headers (`Proc-Type: 4,ENCRYPTED`) and the block's content.
    return lines if ":" in body else [line for line in lines if line]


def _certificate(number: int, block: PemBlock) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(block.pem)
    except Exception:  # noqa: BLE001 - what the library raises depends on which byte is wrong
        raise InvalidPemError(f"certificate {number} of the file does not parse") from None
