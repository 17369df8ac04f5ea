"""PEM in every dress that people have it in, and what is refused of it."""

import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from deploy.dev.device_ca import CertificateAuthority
from shared.pem import InvalidPemError, decoded, load_certificates, pem_blocks, private_key_block

FIRST, SECOND = (CertificateAuthority.create(name) for name in ("first", "Zweite für Größe"))
BOTH = [FIRST.certificate, SECOND.certificate]
BUNDLE = FIRST.pem + SECOND.pem
CANARY = "canary5f3a"
COMMENT = "# Größe: Zertifizierungsstelle für Prüfstände, 証明書, сертификат\n"


def with_comments(comment: bytes) -> bytes:
    """Put a comment before, between and behind the blocks."""
    return comment.join([b"", FIRST.pem, SECOND.pem, b""])


DRESSES: dict[str, bytes] = {
    "as it is": BUNDLE,
    "comments in UTF-8": with_comments(COMMENT.encode()),
    "comments in Latin-1": with_comments("# Größe\n".encode("latin-1")),
    "comments in Shift JIS": with_comments("# 証明書\n".encode("shift-jis")),
    "comments in two encodings": "# ü\n".encode() + "# ü\n".encode("latin-1") + BUNDLE,
    "a byte order mark": b"\xef\xbb\xbf" + BUNDLE,
    "a byte order mark before each": b"\xef\xbb\xbf" + FIRST.pem + b"\xef\xbb\xbf" + SECOND.pem,
    "UTF-16 of Windows": (COMMENT + BUNDLE.decode()).encode("utf-16"),
    "UTF-16, the other way round": b"\xfe\xff" + (COMMENT + BUNDLE.decode()).encode("utf-16-be"),
    "lines of Windows": BUNDLE.replace(b"\n", b"\r\n"),
    "lines of old Macs": BUNDLE.replace(b"\n", b"\r"),
    "spaces behind lines": BUNDLE.replace(b"\n", b" \t\n"),
    "indented, as out of YAML": b"".join(b"    " + line for line in BUNDLE.splitlines(True)),  # noqa: FBT003
    "empty lines": BUNDLE.replace(b"\n", b"\n\n"),
    "on one line": BUNDLE.replace(b"\n", b" "),
    "without a last line break": BUNDLE.rstrip(),
    "the old label": BUNDLE.replace(b"CERTIFICATE", b"X509 CERTIFICATE"),
    "a key beside them": BUNDLE + FIRST.issue_server().key_pem,
    "a CRL beside them": FIRST.crl() + BUNDLE,
    "headers in a block": BUNDLE.replace(b"CERTIFICATE-----\n", b"CERTIFICATE-----\nA: b\n\n", 1),
    "NULs": b"\0" + BUNDLE + b"\0",
    "dashes": b"----- CAs -----\n-----\n" + BUNDLE,
}


@pytest.mark.parametrize("dress", DRESSES)
def test_whatever_is_around_the_blocks_the_certificates_are_read(dress: str) -> None:
    """In their order."""
    assert load_certificates(DRESSES[dress]) == BOTH


def test_what_openssl_prints_before_each_certificate_is_passed_over(tmp_path: Path) -> None:
    """`openssl x509 -text`, with names in whatever encoding it has them."""
    printed = b""
    for number, pem in enumerate((FIRST.pem, SECOND.pem)):
        (tmp_path / f"{number}.pem").write_bytes(pem)
        command = ["openssl", "x509", "-text", "-nameopt", "RFC2253,-esc_msb"]
        command += ["-in", str(tmp_path / f"{number}.pem")]
        printed += subprocess.run(command, capture_output=True, check=True).stdout
    assert not printed.isascii()
    assert load_certificates(printed) == BOTH


@given(
    st.lists(
        st.text(max_size=60).filter(lambda text: "-----BEGIN " not in text), min_size=3, max_size=3
    ),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_any_text_may_stand_around_them(texts: list[str], encoding: str) -> None:
    """In any encoding that says what it is."""
    before, between, behind = (each.encode("utf-8", "replace").decode() for each in texts)
    text = f"{before}\n{FIRST.pem.decode()}{between}\n{SECOND.pem.decode()}{behind}"
    assert load_certificates(text.encode(encoding)) == BOTH
    assert load_certificates(text) == BOTH


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_any_bytes_are_blocks_or_refused(before: bytes, behind: bytes) -> None:
    """Nothing else is ever raised."""
    for content in (before, before + BUNDLE[:200] + behind, before + BUNDLE + behind):
        assert isinstance(decoded(content), str)
        try:
            blocks = pem_blocks(content)
        except InvalidPemError:
            continue
        assert all(block.pem.isascii() for block in blocks)


DAMAGED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "no certificate"),
    "text alone": (CANARY.encode(), "no certificate"),
    "DER": (FIRST.certificate.public_bytes(Encoding.DER), "no certificate"),
    "a key alone": (FIRST.issue_server().key_pem, "no certificate"),
    "cut off within a block": (BUNDLE[:-100], "cut off"),
    "cut off within the last line": (BUNDLE[:-8], "cut off"),
    "a block that begins within another": (FIRST.pem[:100] + SECOND.pem, "cut off"),
    "another label at its end": (FIRST.pem.replace(b"END CERT", b"END X509 CERT"), "cut off"),
    "a damaged first line": (
        FIRST.pem.replace(b"CERTIFICATE-----\n", b"certificate\n", 1),
        "first",
    ),
    "no first line's end": (b"-----BEGIN CERTIFICATE", "first line"),
    "text in a block": (FIRST.pem.replace(b"\nM", f"\n{CANARY}!\nM".encode(), 1), "1 of the file"),
    "other letters in a block": (FIRST.pem.replace(b"\nM", "\nü".encode(), 1), "base64"),
    "a second that does not parse": (
        FIRST.pem + SECOND.pem.replace(b"\nM", b"\nN", 1),
        "certificate 2 of the file",
    ),
    "a trusted certificate": (
        FIRST.pem + SECOND.pem.replace(b"CERTIFICATE", b"TRUSTED CERTIFICATE"),
        "openssl x509",
    ),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_what_is_damaged_is_refused_and_not_quoted(case: str) -> None:
    """A bundle with one CA less would be noticed by its devices alone."""
    content, words = DAMAGED[case]
    with pytest.raises(InvalidPemError, match=words) as refused:
        load_certificates(content)
    assert CANARY not in str(refused.value)


def test_many_beginnings_take_no_time() -> None:
    """The text may be 64 KiB of an operator's: each byte is looked at a few times, and no more."""
    with pytest.raises(InvalidPemError):
        pem_blocks("-----BEGIN CERTIFICATE-----\n" * 100_000)
    empty = "-----BEGIN X-----\n-----END X-----\n"
    assert len(pem_blocks(empty * 10_000)) == 10_000


def test_a_private_key_is_found_among_other_blocks() -> None:
    """In a file of both, and behind the parameters that `openssl ecparam -genkey` writes."""
    issued = FIRST.issue_server()
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    old = issued.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    comment = COMMENT.encode()
    for content in (issued.chain_pem + issued.key_pem, comment + parameters + old):
        block = private_key_block(content)
        assert block.is_private_key
        assert block.pem in content
        assert issued.key_pem.splitlines()[1].decode() not in repr(block)
    with pytest.raises(InvalidPemError, match="no private key"):
        private_key_block(issued.chain_pem)
