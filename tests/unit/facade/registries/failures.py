"""Failures as a client raises them."""

from shared.upstream.errors import ConnectError, UpstreamError


def at_registry(error: UpstreamError) -> UpstreamError:
    """Return an error of the registry itself, not of its store or token endpoint."""
    error.at_registry = True
    return error


def unreached() -> UpstreamError:
    """Return the error of a registry that accepts no connection."""
    return at_registry(ConnectError("the host does not accept a connection"))
