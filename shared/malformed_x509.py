"""The exceptions that reading malformed X.509 raises."""

from typing import Final

from cryptography import x509
from cryptography.exceptions import InternalError, UnsupportedAlgorithm

# Which of them it is depends on what is malformed (docs/decisions/libraries.md).
MALFORMED: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    InternalError,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
