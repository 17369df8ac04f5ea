"""The provider that a registry's host suggests. Pure."""

from control_plane.connections.google_host import InvalidGoogleHostError, require_google_host
from shared.connection import Provider
from shared.ecr_host import EcrHost, InvalidEcrHostError
from shared.registry_host import RegistryHost


def suggested_provider(host: RegistryHost) -> Provider:
    """Return how one logs in at a host of this name."""
    try:
        EcrHost.parse(host)
    except InvalidEcrHostError:
        pass
    else:
        return Provider.AWS_ECR
    try:
        require_google_host(host)
    except InvalidGoogleHostError:
        return Provider.STATIC
    return Provider.GOOGLE_SERVICE_ACCOUNT
