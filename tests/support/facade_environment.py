"""A facade's environment in which nothing is wrong, to make one thing wrong at a time."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from shared.keys import private_pem, public_pem
from tests.support.facade_process import FacadeFiles

REQUIRED = (
    "FACADE_CACHE_MAX_BYTES",
    "FACADE_DATABASE_URL",
    "FACADE_DEVICE_CA_FILE",
    "FACADE_SEALING_PRIVATE_KEY_FILE",
    "FACADE_STATEMENT_PUBLIC_KEY_FILE",
    "FACADE_STATE_DIR",
    "FACADE_TLS_CERT_FILE",
    "FACADE_TLS_KEY_FILE",
)


def good_environment(folder: Path) -> dict[str, str]:
    """Write what a facade needs into a folder; return exactly the required variables."""
    files = FacadeFiles.write(
        folder,
        statement_public_pem=public_pem(Ed25519PrivateKey.generate().public_key()),
        sealing_private_pem=private_pem(X25519PrivateKey.generate()),
    )
    environment = files.environment("postgresql://facade:canary-password@127.0.0.1:1/none")
    return {name: environment[name] for name in REQUIRED}
