"""Which hosts an access token of Google is for."""

import pytest

from control_plane.connections.google_host import (
    InvalidGoogleHostError,
    artifact_registry_location,
    is_container_registry,
    require_google_host,
)
from shared.registry_host import RegistryHost


@pytest.mark.parametrize(
    "text, location",
    [
        ("us-docker.pkg.dev", "us"),
        ("europe-west1-docker.pkg.dev", "europe-west1"),
        ("gcr.io", None),
        ("eu.gcr.io", None),
        ("mirror.gcr.io", None),
    ],
)
def test_google_registries_are_known(text: str, location: str | None) -> None:
    """Artifact Registry tells where it is; Container Registry does not."""
    host = RegistryHost.parse(text)
    require_google_host(host)
    assert artifact_registry_location(host) == location
    assert is_container_registry(host) == (location is None)


@pytest.mark.parametrize(
    "text",
    [
        "docker.pkg.dev",
        "-docker.pkg.dev.example",
        "us-docker.pkg.dev.example",
        "us-python.pkg.dev",
        "x.us-docker.pkg.dev",
        "us-docker-pkg.dev",
        "us-docker.pkg.dev:8443",
        "gcr.io:5000",
        "a.b.gcr.io",
        "evilgcr.io",
        "gcr.io.example",
        "pkg.dev",
        "localhost",
    ],
)
def test_no_other_host_gets_a_token_of_google(text: str) -> None:
    """A look-alike would be handed a token that reads everything the account may read."""
    try:
        host = RegistryHost.parse(text)
    except ValueError:
        return  # not even a host
    with pytest.raises(InvalidGoogleHostError):
        require_google_host(host)
