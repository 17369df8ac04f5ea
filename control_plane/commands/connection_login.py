"""As whom a new connection logs in: by options, or asked. None is anonymous without being told."""

import sys
from typing import Any, Final

import click

from control_plane.commands.api_client import Json
from control_plane.commands.given_file import GivenFileType
from control_plane.commands.running import asking, say
from control_plane.connections.request import parse_connection_request
from control_plane.connections.suggested_provider import suggested_provider
from control_plane.errors import InvalidRequestError
from shared.connection import Provider
from shared.registry_host import RegistryHost
from shared.upstream.hosts import UnusableHostError, registry_host_from_people

_SAYING: Final = ("username", "token_stdin", "key_file", "role_arn", "anonymous")
_SUGGESTED: Final = {
    Provider.AWS_ECR: "this host is Amazon ECR's: --role-arn (provider aws_ecr) gets tokens that"
    " renew themselves",
    Provider.GOOGLE_SERVICE_ACCOUNT: "this host is Google's: --service-account-key-file (provider"
    " google_service_account) gets tokens that renew themselves",
}


def require_login(options: dict[str, Any], rest: Json) -> None:
    """Find out as whom to log in: from an option, or from whoever is at the terminal.

    Raises `click.UsageError`, which also has what is wrong with the `rest` of the request.
    """
    host = _host(options["host"])
    suggested = suggested_provider(host) if host else Provider.STATIC
    is_said = any(options[name] for name in _SAYING) or options["provider"] not in (
        None,
        Provider.STATIC,
    )
    if is_said:
        if options["username"] or options["anonymous"]:
            _note_suggestion(suggested)
    elif sys.stdin.isatty():
        _ask(options, suggested)
    else:
        problems = [
            "say as whom the registry is asked: --username, or --anonymous",
            *([_SUGGESTED[suggested]] if suggested in _SUGGESTED else []),
            *_problems_of(rest),
        ]
        raise click.UsageError("\n".join(problems))


def _ask(options: dict[str, Any], suggested: Provider) -> None:
    _note_suggestion(suggested)
    if suggested is Provider.AWS_ECR:
        options["role_arn"] = _answer("ARN of the role (empty: another login)")
    elif suggested is Provider.GOOGLE_SERVICE_ACCOUNT:
        path = _answer("File of the service account's key (empty: another login)")
        options["key_file"] = GivenFileType().convert(path, None, None) if path else None
    if not (options["role_arn"] or options["key_file"]):
        options["username"] = _answer("User name (empty: anonymous)")
        options["anonymous"] = not options["username"]


def _answer(question: str) -> str | None:
    with asking():
        return str(click.prompt(question, default="", show_default=False, err=True)) or None


def _note_suggestion(suggested: Provider) -> None:
    if suggested in _SUGGESTED:
        say(f"Note: {_SUGGESTED[suggested]}.")


def _host(text: str) -> RegistryHost | None:
    try:
        return registry_host_from_people(text)
    except UnusableHostError:
        return None  # the API says what is wrong with it


def _problems_of(rest: Json) -> list[str]:
    try:
        parse_connection_request({**rest, "provider": Provider.STATIC.value})
    except InvalidRequestError as error:
        return [f"{each.pointer}: {each.detail}" for each in error.errors]
    return []
