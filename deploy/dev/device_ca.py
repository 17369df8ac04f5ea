"""A certificate authority for development and tests: valid certificates, and every invalid one.

What it issues passes strict verification (RFC 5280): key usage, key identifiers and basic
constraints are there. `issue` lets a test choose what is wrong; the shorter methods issue valid
certificates. Keys are EC P-256.
"""

import datetime as dt
import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Self

from attrs import define, field, frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CLIENT_AUTH = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER_AUTH = ExtendedKeyUsageOID.SERVER_AUTH
BACKDATED = dt.timedelta(hours=1)  # clocks differ
VALID = dt.timedelta(days=365)
CA_VALID = dt.timedelta(days=3650)
CRL_VALID = dt.timedelta(days=30)


@frozen
class CertificateFiles:
    """Where a certificate chain and its private key lie, both PEM."""

    certificate: Path
    key: Path


@frozen
class IssuedCertificate:
    """A leaf with its key; `chain_pem` ends before the root, as a server sends it."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)
    chain_pem: bytes

    @property
    def serial(self) -> int:
        """The serial number; hex of it is what a device revocation names."""
        return self.certificate.serial_number

    @property
    def key_pem(self) -> bytes:
        """The private key, PKCS#8 PEM, not encrypted."""
        return _key_pem(self.key)

    def write(self, folder: Path, name: str) -> CertificateFiles:
        """As `<name>.pem` and `<name>.key` (0600) in `folder`, each whole or not there."""
        folder.mkdir(parents=True, exist_ok=True)
        files = CertificateFiles(folder / f"{name}.pem", folder / f"{name}.key")
        _write_whole(files.key, self.key_pem, mode=0o600)
        _write_whole(files.certificate, self.chain_pem, mode=0o644)
        return files


@define
class CertificateAuthority:
    """Issues certificates and revokes them. A root, or an intermediate of `make_intermediate`."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)
    chain_pem: bytes = b""  # intermediates between what this issues and the root

    @classmethod
    def create(
        cls, name: str = "development device CA", *, trust_domain: str | None = None
    ) -> Self:
        """A new root; with a SPIFFE trust domain, its certificate names that."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = _ca_certificate(
            subject, key.public_key(), subject, key, more=_of_domain(trust_domain)
        )
        return cls(certificate, key)

    @classmethod
    def load_or_create(cls, folder: Path, name: str) -> Self:
        """The root kept in `folder` as `ca.pem` and `ca.key`; made at the first call."""
        certificate, key = folder / "ca.pem", folder / "ca.key"
        if not certificate.is_file():
            made = cls.create(name)
            folder.mkdir(parents=True, exist_ok=True)
            _write_whole(key, _key_pem(made.key), mode=0o600)
            _write_whole(certificate, made.pem, mode=0o644)  # last: it marks the pair as whole
        loaded = load_pem_private_key(key.read_bytes(), None)
        if not isinstance(loaded, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{key} holds no EC key")
        return cls(x509.load_pem_x509_certificate(certificate.read_bytes()), loaded)

    def make_intermediate(
        self,
        name: str = "development intermediate CA",
        *,
        not_before: dt.datetime | None = None,
        not_after: dt.datetime | None = None,
        trust_domain: str | None = None,
    ) -> Self:
        """An authority under this one; what it issues comes with its own certificate."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = self.certificate.subject
        certificate = _ca_certificate(
            subject,
            key.public_key(),
            issuer,
            self.key,
            not_before=not_before,
            not_after=not_after,
            more=_of_domain(trust_domain),
        )
        return type(self)(certificate, key, _pem(certificate) + self.chain_pem)

    def renewed(
        self,
        *,
        not_before: dt.datetime | None = None,
        not_after: dt.datetime | None = None,
        path_length: int | None = None,
        trust_domain: str | None = None,
        limits: Iterable[x509.ExtensionType] = (),
    ) -> Self:
        """The same root with a new certificate: its name and key are what they were."""
        subject = self.certificate.subject
        certificate = _ca_certificate(
            subject,
            self.key.public_key(),
            subject,
            self.key,
            not_before=not_before,
            not_after=not_after,
            path_length=path_length,
            more=(*_of_domain(trust_domain), *limits),
        )
        return type(self)(certificate, self.key)

    def cross_signed_by(self, other: Self, *, not_after: dt.datetime | None = None) -> Self:
        """The same authority below another one: a second certificate of its name and key."""
        certificate = _ca_certificate(
            self.certificate.subject,
            self.key.public_key(),
            other.certificate.subject,
            other.key,
            not_after=not_after,
        )
        return type(self)(certificate, self.key, _pem(certificate) + other.chain_pem)

    @property
    def pem(self) -> bytes:
        """The certificate, for those who trust this authority."""
        return _pem(self.certificate)

    def issue_server(
        self, *, dns: Sequence[str] = ("localhost",), ips: Sequence[str] = ("127.0.0.1",)
    ) -> IssuedCertificate:
        """A server that answers to these names and addresses."""
        return self.issue(common_name="server", dns=dns, ips=ips, usages=(SERVER_AUTH,))

    def issue_device(
        self, fleet: str = "line-a", device: str = "press-7", *, trust_domain: str = "example.com"
    ) -> IssuedCertificate:
        """The device `spiffe://<trust_domain>/fleet/<fleet>/device/<device>`, and nothing else."""
        return self.issue(uris=[f"spiffe://{trust_domain}/fleet/{fleet}/device/{device}"])

    def issue(
        self,
        *,
        uris: Iterable[str] = (),
        dns: Iterable[str] = (),
        ips: Iterable[str] = (),
        common_name: str | None = "device",
        organizational_unit: str | None = None,
        usages: Sequence[x509.ObjectIdentifier] = (CLIENT_AUTH,),
        not_before: dt.datetime | None = None,
        not_after: dt.datetime | None = None,
    ) -> IssuedCertificate:
        """A leaf with exactly these fields; without names it has no SAN, without usages no EKU."""
        now = dt.datetime.now(dt.UTC)
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(
            _subject(common_name, organizational_unit),
            self.certificate.subject,
            key.public_key(),
            self.key,
        )
        builder = builder.not_valid_before(not_before or now - BACKDATED)
        builder = builder.not_valid_after(not_after or now + VALID)
        builder = builder.add_extension(
            x509.BasicConstraints(ca=False, path_length=None), critical=True
        )
        builder = builder.add_extension(_key_usage(ca=False), critical=True)
        names = _names(uris, dns, ips)
        if names:
            # RFC 5280 section 4.2.1.6: critical if the subject is empty
            critical = common_name is None and organizational_unit is None
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=critical)
        if usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        return IssuedCertificate(certificate, key, _pem(certificate) + self.chain_pem)

    def crl(
        self,
        serials: Iterable[int] = (),
        *,
        last_update: dt.datetime | None = None,
        next_update: dt.datetime | None = None,
    ) -> bytes:
        """A revocation list (PEM) with these serial numbers."""
        now = dt.datetime.now(dt.UTC)
        since = last_update or now - BACKDATED
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(since)
            .next_update(next_update or now + CRL_VALID)
            .add_extension(_authority_key_identifier(self.key), critical=False)
            .add_extension(x509.CRLNumber(int(now.timestamp() * 1000)), critical=False)
        )
        for serial in serials:
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(since)
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM)


def _ca_certificate(
    subject: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    not_before: dt.datetime | None = None,
    not_after: dt.datetime | None = None,
    path_length: int | None = None,
    more: Iterable[x509.ExtensionType] = (),
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    builder = _builder(subject, issuer, public_key, issuer_key)
    builder = builder.not_valid_before(not_before or now - BACKDATED)
    builder = builder.not_valid_after(not_after or now + CA_VALID)
    constraints = x509.BasicConstraints(ca=True, path_length=path_length)
    builder = builder.add_extension(constraints, critical=True)
    builder = builder.add_extension(_key_usage(ca=True), critical=True)
    for each in more:
        # RFC 5280 section 4.2.1.10
        builder = builder.add_extension(each, critical=isinstance(each, x509.NameConstraints))
    return builder.sign(issuer_key, hashes.SHA256())


def _of_domain(trust_domain: str | None) -> Iterator[x509.ExtensionType]:
    """Yield what names a SPIFFE trust domain in a CA's certificate, if there is one to name."""
    if trust_domain is not None:
        uri = x509.UniformResourceIdentifier(f"spiffe://{trust_domain}")
        yield x509.SubjectAlternativeName([uri])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    issuer_key: ec.EllipticCurvePrivateKey,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(_authority_key_identifier(issuer_key), critical=False)
    )


def _authority_key_identifier(key: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _subject(common_name: str | None, organizational_unit: str | None) -> x509.Name:
    parts = (
        (NameOID.ORGANIZATIONAL_UNIT_NAME, organizational_unit),
        (NameOID.COMMON_NAME, common_name),
    )
    return x509.Name([x509.NameAttribute(oid, text) for oid, text in parts if text is not None])


def _names(uris: Iterable[str], dns: Iterable[str], ips: Iterable[str]) -> list[x509.GeneralName]:
    return [
        *(x509.UniformResourceIdentifier(uri) for uri in uris),
        *(x509.DNSName(name) for name in dns),
        *(x509.IPAddress(ipaddress.ip_address(address)) for address in ips),
    ]


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write_whole(path: Path, content: bytes, *, mode: int) -> None:
    """Write beside `path`, then rename: a reader sees the whole file or none."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    unfinished.touch(mode=mode)
    unfinished.write_bytes(content)
    unfinished.rename(path)
