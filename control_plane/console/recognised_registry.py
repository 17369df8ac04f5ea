"""The registry that somebody means who pastes a host, an image or a `docker pull` line. Pure."""

import re
from typing import Final

from attrs import frozen

from control_plane.connections.suggested_provider import suggested_provider
from shared.connection import Provider
from shared.oci import RepositoryName
from shared.registry_host import RegistryHost
from shared.upstream.hosts import registry_host_from_people

MAX_PASTED_CHARACTERS: Final = 2048
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*://", re.ASCII)
_DOCKER_HUB: Final = "docker.io"

# How a login is had at registries that many have, by the end of the host's name.
_LOGINS: Final = (
    ("docker.io", "At Docker Hub: your user name, and an access token with the right to read."),
    ("ghcr.io", "At GitHub: your user name, and a personal access token with read:packages."),
    ("quay.io", "At Quay: a robot account, as team+name, and its token."),
    ("registry.gitlab.com", "At GitLab: a deploy token with read_registry, and its user name."),
    (".azurecr.io", "At Azure: a repository-scoped token, its name and one of its passwords."),
    ("public.ecr.aws", "Amazon's public gallery needs no login."),
)
_ANY_LOGIN: Final = (
    "A robot or service account that may only read, where the registry has such: in Harbor"
    " robot$name, in Artifactory a user with an identity token."
)


@frozen
class RecognisedRegistry:
    """A registry's host, how one logs in there, and the repository that was named, if any."""

    host: RegistryHost
    provider: Provider
    repository: str | None = None


def recognise(text: str) -> RecognisedRegistry:
    """Return the registry that a text names; raise `ValueError`, which says what is wrong.

    As docker reads a reference: what stands before the first slash is a host if it has a dot or a
    port, or is localhost; else the image is one of Docker Hub.
    """
    words = [each for each in text[:MAX_PASTED_CHARACTERS].split() if not each.startswith("-")]
    if not words:
        raise ValueError("paste a host, an image, or a docker pull line")
    reference = _SCHEME.sub("", words[-1].strip("'\"`"), count=1)
    head, slash, path = reference.partition("/")
    name = head.partition(":")[0]
    if reference and not ("." in name or name == "localhost" or (slash and ":" in head)):
        head, path = _DOCKER_HUB, reference
    host = registry_host_from_people(head)
    return RecognisedRegistry(host, suggested_provider(host), _repository(path))


def login_hint(host: str) -> str:
    """Return what to log in with at a host."""
    for ending, words in _LOGINS:
        if host == ending or (ending.startswith(".") and host.endswith(ending)):
            return words
    return _ANY_LOGIN


def _repository(path: str) -> str | None:
    """Return the repository of a reference's path, without a tag, a digest or the API's prefix."""
    name = path.partition("@")[0].removeprefix("v2/").strip("/")
    folder, _, last = name.rpartition("/")
    name = "/".join(part for part in (folder, last.partition(":")[0]) if part)
    try:
        return str(RepositoryName.parse(name)) if name else None
    except ValueError:
        return None
