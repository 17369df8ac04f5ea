"""What can be wrong with a certificate that OpenSSL accepted, at the handshake or later."""

from enum import StrEnum


class CertificateProblem(StrEnum):
    """Why a certificate is not accepted now, in words."""

    EXPIRED = "the certificate has expired"
    NOT_TRUSTED = "the certificate's CA is no longer trusted"
    CA_EXPIRED = "the certificate's CA, or one above it, has expired"
    CA_NOT_YET_VALID = "the certificate's CA, or one above it, is not valid yet"
    CA_REVOKED = "the certificate's CA is in the CRL of the CA above it"
    REVOKED = "the certificate is in its CA's CRL"
    NO_LIST = "there is no CRL of the certificate's CA"
    LIST_EXPIRED = "the CRL of the certificate's CA has expired"
    LIST_NOT_YET_VALID = "the CRL of the certificate's CA is not valid yet"
