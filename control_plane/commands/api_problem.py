"""A problem of the API (RFC 9457) in words: each wrong field by its option, and what is in the way.

Another service may answer where the control plane is thought to be, with problems of its own form.
What has not our form is left out.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from attrs import frozen

ProblemJson = Mapping[str, Any]

# The option for a field, if it is not the field's own name.
_OPTIONS: Final = {
    "host": "HOST",
    "repository_prefix": "--prefix",
    "username": "--username",
    "token": "--token-stdin",
    "service_account_key": "--service-account-key-file",
    "repositories": "--repository",
    "repository": "--try-repository",
    "fleets": "--fleet",
    "allowed_networks": "--allow-network",
    "auth_realms": "--auth-realm",
    "expires_at": "--expires-at, --expires, --keep-expiry or --no-expiry",
    "device": "DEVICE",
    "serial": "--serial",
    "issuer": "--issuer",
    "reason": "--reason",
    "fingerprint": "--fingerprint",
    "description": "--description",
    "comment": "--comment",
    "despite_send_back": "--despite-send-back",
    "plain_http": "--plain-http",
    "referrers": "--referrers",
    "ca_certificate": "--ca-certificate",
    "provider": "--provider",
    "role_arn": "--role-arn",
    "external_id": "--external-id",
    "pull_through_cache": "--pull-through-cache",
    "secret_label": "--secret-label",
    "credential_expires_at": "--credential-expires-at",
    "set_name": "--set-name",
}


# The options of lists, by the query's parameters.
_LIST_OPTIONS: Final = {
    "host": "--host",
    "search": "--search",
    "expires_before": "--expires-before",
}


@frozen
class WrongField:
    """A field of the body, by its JSON pointer, or a parameter of the query; "" is the whole."""

    where: str
    detail: str
    is_parameter: bool

    @property
    def path(self) -> list[str]:
        """The names on the way to it."""
        return self.where.strip("/").split("/")


def is_problem(answer: ProblemJson) -> bool:
    """Tell whether an answer may be a problem; other services say `status` in words, or not."""
    return isinstance(answer.get("status"), int)


def problem_words(status: int, problem: ProblemJson) -> str:
    """Return a line for the whole, and one for each thing that is wrong."""
    lines = [title_of(status, problem)]
    for field in wrong_fields(problem):
        known = _OPTIONS | _LIST_OPTIONS if field.is_parameter else _OPTIONS
        option = known.get(field.path[0])
        named = f"{option} ({field.where})" if option else field.where or "the whole"
        lines.append(f"  {named}: {field.detail}")
    if (conflict := _conflict_words(problem.get("conflict"))) is not None:
        lines.append(f"  in the way: {conflict}")
    lines += realm_words(problem)
    if problem.get("request_id"):
        lines.append(f"  request id: {problem['request_id']}")
    return "\n".join(lines)


def title_of(status: int, problem: ProblemJson) -> str:
    """Return the line for the whole."""
    return f"{status} {problem.get('title', '')}: {problem.get('detail', '')}"


def wrong_fields(problem: ProblemJson) -> Iterator[WrongField]:
    """Yield each wrong field."""
    errors = problem.get("errors")
    for error in errors if isinstance(errors, list) else ():
        match error:
            case {"parameter": str(where), "detail": str(detail)}:
                yield WrongField(where, detail, is_parameter=True)
            case {"pointer": str(where), "detail": str(detail)}:
                yield WrongField(where, detail, is_parameter=False)


def realm_words(problem: ProblemJson) -> list[str]:
    """Return a line for the realm that a registry named in a check, if there was one."""
    match problem.get("check"):
        case {"realm": str(realm)} if realm:
            return [f"  the registry's realm: {realm}"]
    return []


def _conflict_words(conflict: object) -> str | None:
    match conflict:
        case {"id": found, "host": str(host), "repository_prefix": str(prefix), "status": status}:
            return f"connection {found}, {'/'.join(filter(None, (host, prefix)))}, {status}"
        case {"id": found, "device": device, "serial": serial}:
            return f"device revocation {found}, {device or f'serial:{serial}'}"
    return None
