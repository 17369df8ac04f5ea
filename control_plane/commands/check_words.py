"""The outcome of a check of a registry's login, in words for whoever typed the host."""

from typing import Final

from shared.upstream.hosts import nearest_known_host

# Why the check could not tell, from where the control plane is; by the check's code.
_NOT_TOLD: Final = {
    "not_resolved": "its name does not resolve from the control plane to an address that checks may"
    " reach: is it spelled right? (CONTROL_PLANE_CHECK_NETWORKS opens private networks to them)",
    "address_not_allowed": "its address is not one that checks may reach"
    " (CONTROL_PLANE_CHECK_NETWORKS opens private ones to them)",
    "not_reachable": "nothing answers there, from the control plane",
    "timeout": "it did not answer in time",
    "rate_limited": "it limits our requests; try again later",
    "registry_error": "it answers with an error of its own; try again later",
    "aws_not_asked": "the facade alone can assume the role: `facade check` tries it there",
}
NOT_ASKED: Final = "not_asked"  # the caller did not want the registry to be asked


def reason_of(problem: str | None) -> str:
    """Return why a check could not tell, by its code."""
    return _NOT_TOLD.get(problem or "", "it was not asked")


def why_not_told(host: str, problem: str | None, *, plain_http: bool = False) -> str:
    """Return why a check of a host could not tell whether its login is right."""
    why = reason_of(problem)
    if plain_http and problem == "not_reachable":  # a port with TLS closes the connection
        why += ", or it hangs up: if it speaks TLS, leave out --plain-http"
    nearest = nearest_known_host(host) if problem == "not_resolved" else None
    return f"{host} was not tried: {why}" + (f" Did you mean {nearest}?" if nearest else "")
