"""Files of keys and certificates that settings name, read before anything starts.

So a wrong file is named together with everything else that is wrong, and nothing of it is printed.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

from facade.devices import own_certificate
from facade.devices.identification import load_profiles
from facade.devices.revocation_list import MAX_FILE_BYTES as MAX_CRL_FILE_BYTES
from facade.devices.revocation_list import RevocationList
from shared.bounded_file import read_bounded
from shared.identity_profiles_file import MAX_PROFILES_FILE_BYTES
from shared.keys import load_sealing_private_keys, load_statement_public_keys
from shared.pem import load_certificates
from shared.setting_types import Form, parse_readable_file

# A bundle of some hundred CA certificates, each with the 7 KiB of `openssl x509 -text` before it.
MAX_FILE_BYTES: Final = 4 * 1024 * 1024


def _readable_by(
    load: Callable[[bytes], object], max_bytes: int = MAX_FILE_BYTES
) -> Callable[[str], Path]:
    """Return a setting's parser: the path of a file that `load` accepts."""

    def parse(text: str) -> Path:
        path = parse_readable_file(text)
        try:
            load(_content(path, max_bytes))
        except ValueError:
            raise
        except Exception as error:  # what the library raises depends on which byte is wrong
            raise ValueError("cannot be loaded") from error
        return path

    return parse


def belong_together(certificate: Path, key: Path) -> bool:
    """Tell whether a TLS server can use the certificate, its first one, with the private key."""
    try:
        pair = _content(certificate, MAX_FILE_BYTES), _content(key, MAX_FILE_BYTES)
    except (OSError, ValueError):
        return False
    return own_certificate.belong_together(*pair)


def _content(path: Path, max_bytes: int) -> bytes:
    return read_bounded(path, max_bytes)


RevocationListFile = Annotated[
    Path,
    Form(
        _readable_by(RevocationList.parse_all, MAX_CRL_FILE_BYTES),
        "the path of a readable PEM file of complete CRLs with a nextUpdate, and nothing else",
    ),
]
ProfilesFile = Annotated[
    Path,
    Form(
        _readable_by(load_profiles, MAX_PROFILES_FILE_BYTES),
        "the path of a readable YAML or JSON file of identity profiles",
    ),
]
SealingPrivateKeyFile = Annotated[
    Path,
    Form(
        _readable_by(load_sealing_private_keys),
        "the path of a readable PEM file of sealing keys' private halves",
    ),
]
StatementPublicKeyFile = Annotated[
    Path,
    Form(
        _readable_by(load_statement_public_keys),
        "the path of a readable PEM file of statement keys' public halves",
    ),
]
CertificateFile = Annotated[
    Path,
    Form(
        _readable_by(load_certificates),
        "the path of a readable PEM file of certificates",
    ),
]
PrivateKeyFile = Annotated[
    Path,
    Form(
        _readable_by(own_certificate.load_private_key),
        "the path of a readable PEM file of a private key without a password",
    ),
]
