"""Google's registry hosts: an access token of a service account is for these alone."""

import re
from typing import Final

from shared.registry_host import RegistryHost

# `us-docker.pkg.dev`, `europe-west1-docker.pkg.dev`; `gcr.io`, `eu.gcr.io`, `mirror.gcr.io`.
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_ARTIFACT_REGISTRY: Final = re.compile(
    r"(?P<location>[a-z0-9](?:[a-z0-9-]{0,54}[a-z0-9])?)-docker\.pkg\.dev", re.ASCII
)
_CONTAINER_REGISTRY: Final = re.compile(rf"(?:{_LABEL}\.)?gcr\.io", re.ASCII)


class InvalidGoogleHostError(ValueError):
    """The host is no registry of Google."""


def require_google_host(host: RegistryHost) -> None:
    """Raise `InvalidGoogleHostError` unless Google runs this registry."""
    if artifact_registry_location(host) is None and not is_container_registry(host):
        raise InvalidGoogleHostError("expected <region>-docker.pkg.dev, gcr.io or *.gcr.io")


def artifact_registry_location(host: RegistryHost) -> str | None:
    """Return the location of an Artifact Registry host; None for any other host."""
    match = _ARTIFACT_REGISTRY.fullmatch(str(host))
    return match["location"] if match else None


def is_container_registry(host: RegistryHost) -> bool:
    """Tell whether the host is one of `gcr.io`, whose images may lie in Cloud Storage."""
    return _CONTAINER_REGISTRY.fullmatch(str(host)) is not None
