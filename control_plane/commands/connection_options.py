"""The options that say what a connection is, and the API's request bodies that are made of them.

A secret comes from a prompt, standard input or a file, never from an argument: every process of the
machine sees arguments, and a shell's history keeps them.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

import click

from control_plane.commands.api_client import Json
from control_plane.commands.connection_login import require_login
from control_plane.commands.given_file import GivenFile, GivenFileType
from control_plane.commands.proposed_names import propose_connections
from control_plane.commands.running import asking, fail
from control_plane.commands.usage import require_no_contradiction
from control_plane.connections.fields import certificates_alone
from control_plane.errors import InvalidRequestError, UnreadableBodyError
from control_plane.reading.field_reader import read_object
from shared.connection import Provider
from shared.sealed_secret import MAX_SECRET_BYTES

MAX_KEY_FILE_BYTES: Final = 64 * 1024  # a key file is about 2.4 KiB
MAX_CA_FILE_BYTES: Final = 1024 * 1024  # some twenty certificates, and the text between them
STDIN: Final = "-"

_Command = TypeVar("_Command", bound=Callable[..., Any])
_Decorator = Callable[[_Command], _Command]

check_first = click.option(
    "--check/--no-check", default=True, help="Whether the registry is asked to log in."
)
connection_name = click.argument("name", metavar="CONNECTION", shell_complete=propose_connections)

# The lists of a connection: option, field, metavar, help, the option that empties the list, and
# what an empty list means.
_LISTS: Final = (
    ("--repository", "repositories", "PATTERN", "May be served", "--all-repositories", "all"),
    ("--fleet", "fleets", "NAME", "May pull", "--all-fleets", "all"),
    ("--allow-network", "allowed_networks", "CIDR", "A private network that may be spoken to",
     "--no-allowed-networks", "public addresses alone"),
    ("--auth-realm", "auth_realms", "URL", "A token endpoint that may be logged in to",
     "--no-auth-realms", "the registry's own alone"),
)  # fmt: skip


# Options whose values have other names here.
_OPTIONS: Final = {
    "token_stdin": "--token-stdin",
    "ask_token": "--ask-token",
    "key_file": "--service-account-key-file",
    "anonymous": "--anonymous",
    "username": "--username",
    "role_arn": "--role-arn",
    "external_id": "--external-id",
    "no_external_id": "--no-external-id",
    "ca_certificate": "--ca-certificate",
    "no_ca_certificate": "--no-ca-certificate",
    "credential_expires_at": "--credential-expires-at",
    "no_credential_expiry": "--no-credential-expiry",
    **{field: option for option, field, *_ in _LISTS},
    **{f"no_{field}": none for _, field, _, _, none, _ in _LISTS},
}
_NOT_GIVEN: Final = (None, False, ())


def _all_of(options: Sequence[_Decorator[Any]]) -> _Decorator[_Command]:
    def decorate(function: _Command) -> _Command:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


_CREDENTIAL: Final = (
    click.option("--username", help="Asks for the token, unless --token-stdin."),
    click.option("--token-stdin", is_flag=True, help="Read the token from standard input."),
    click.option(
        "--service-account-key-file",
        "key_file",
        type=GivenFileType(),
        help="Google's JSON key; - is standard input.",
    ),
    click.option("--secret-label", help="What the new secret is called, as `version` in files."),
    click.option(
        "--credential-expires-at", help="When the secret ends, as far as you know: a time."
    ),
)
_ROLE: Final = (
    click.option("--role-arn", help="The role in the account of an ECR registry."),
    click.option(
        "--external-id",
        help="Of the role's trust policy. A new connection's is generated otherwise.",
    ),
    click.option("--no-external-id", is_flag=True, help="The trust policy asks for none."),
)
_REFERRERS: Final = "Devices may list what refers to a digest: signatures, SBOMs."
_SET_NAME: Final = click.option("--set-name", help="The set of files that it belongs to.")
_PULL_THROUGH_CACHE: Final = "The role may make ECR repositories, for pull through cache rules."

request_options: Final[_Decorator[Any]] = _all_of(
    (
        click.argument("host"),
        click.option(
            "--provider",
            type=click.Choice([provider.value for provider in Provider]),
            help="Default: what the other options are for, else static.",
        ),
        *_CREDENTIAL,
        click.option("--anonymous", is_flag=True, help="Without a login: what is public."),
        *_ROLE,
        click.option("--pull-through-cache", is_flag=True, help=_PULL_THROUGH_CACHE),
        click.option("--prefix", "repository_prefix", help="Only repositories below this one."),
        *(
            click.option(
                option,
                field,
                multiple=True,
                metavar=metavar,
                help=f"{words}; repeatable. Default: {empty}.",
            )
            for option, field, metavar, words, _, empty in _LISTS
        ),
        click.option("--referrers", is_flag=True, help=f"{_REFERRERS} Default: they may not."),
        click.option("--plain-http", is_flag=True, help="The registry has no TLS."),
        click.option(
            "--ca-certificate", type=GivenFileType(), help="PEM of the registry's CA, or its own."
        ),
        _SET_NAME,
    )
)
edit_options: Final[_Decorator[Any]] = _all_of(
    (
        *_CREDENTIAL,
        click.option("--ask-token", is_flag=True, help="Ask for the token."),
        click.option("--anonymous", is_flag=True, help="Log in no longer."),
        *_ROLE,
        click.option(
            "--pull-through-cache/--no-pull-through-cache", default=None, help=_PULL_THROUGH_CACHE
        ),
        *(
            part
            for option, field, metavar, words, none, empty in _LISTS
            for part in (
                click.option(
                    option,
                    field,
                    multiple=True,
                    metavar=metavar,
                    help=f"{words}; repeatable, in place of those before.",
                ),
                click.option(none, f"no_{field}", is_flag=True, help=f"{empty.capitalize()}."),
            )
        ),
        click.option("--referrers/--no-referrers", default=None, help=_REFERRERS),
        click.option("--plain-http/--no-plain-http", default=None, help="Without TLS, or with."),
        click.option(
            "--ca-certificate", type=GivenFileType(), help="PEM of the registry's CA, or its own."
        ),
        click.option("--no-ca-certificate", is_flag=True, help="Only the system's authorities."),
        click.option("--description", help="For people; holds at once."),
        click.option(
            "--no-credential-expiry", is_flag=True, help="Nobody knows when the secret ends."
        ),
        _SET_NAME,
    )
)
credential_options: Final[_Decorator[Any]] = _all_of(_CREDENTIAL)


def request_body(options: dict[str, Any], *, must_say_login: bool = False) -> Json:
    """Return the body of a new connection or a check, made of its options.

    With `must_say_login`, anonymous access has to be asked for.
    """
    require_no_contradiction(
        (
            *_secret_contradictions(options),
            _both(options, "external_id", "no_external_id"),
            _both(options, "anonymous", "role_arn"),
        )
    )
    if must_say_login:
        require_login(options, _plain_fields(options))
    options.pop("anonymous")
    provider = options.pop("provider") or _provider_of(options)
    secret = _secret(options, provider=provider, asks=bool(options.get("username")))
    external_id = _external_id(options)
    body: Json = {name: value for name, value in options.items() if value}
    return {"provider": provider, **_read_certificate(body), **external_id, **secret}


def _plain_fields(options: dict[str, Any]) -> Json:
    """Return the fields whose values are options as they were typed."""
    names = ("host", "repository_prefix", "referrers", "plain_http", "description")
    lists = (field for _, field, *_ in _LISTS)
    return {name: options[name] for name in names if options.get(name)} | {
        name: list(options[name]) for name in lists if options[name]
    }


def edit_body(options: dict[str, Any]) -> Json:
    """Return the body of an edit, without what was not given."""
    require_no_contradiction(
        (
            *_secret_contradictions(options),
            _both(options, "external_id", "no_external_id"),
            _both(options, "ca_certificate", "no_ca_certificate"),
            _both(options, "credential_expires_at", "no_credential_expiry"),
            *(_both(options, field, f"no_{field}") for _, field, *_ in _LISTS),
        )
    )
    asks = options.pop("ask_token") or bool(options.get("username"))
    secret = _secret(options, provider=None, asks=asks)
    external_id = _external_id(options)
    emptied: Json = {field: [] for _, field, *_ in _LISTS if options.pop(f"no_{field}")}
    if options.pop("anonymous"):
        emptied |= {"username": None, "token": None}
    if options.pop("no_credential_expiry"):
        emptied["credential_expires_at"] = None
    if options.pop("no_ca_certificate"):
        emptied["ca_certificate"] = None
    given = {name: value for name, value in options.items() if value not in (None, ())}
    return emptied | _read_certificate(given) | external_id | secret


def credential_body(options: dict[str, Any], provider: str | None) -> Json:
    """Return the body of a new credential for a connection of this provider."""
    require_no_contradiction(_secret_contradictions(options))
    secret = _secret(options, provider=provider, asks=provider == Provider.STATIC)
    return {name: value for name, value in options.items() if value} | secret


def _secret_contradictions(options: dict[str, Any]) -> Iterator[str | None]:
    """Yield what is wrong with the way in which the secret is given, or with giving none."""
    ways = [name for name in ("token_stdin", "ask_token", "key_file") if options.get(name)]
    if len(ways) > 1:
        yield f"give one of {', '.join(_OPTIONS[name] for name in ways)}"
    for name in ("username", *ways):
        yield _both(options, "anonymous", name)


def _both(options: dict[str, Any], one: str, other: str) -> str | None:
    """Return what is wrong if options contradict one another."""
    if options.get(one) in _NOT_GIVEN or options.get(other) in _NOT_GIVEN:
        return None
    return f"give {_OPTIONS[one]} or {_OPTIONS[other]}, not both"


def _provider_of(options: dict[str, Any]) -> str:
    if options["key_file"] is not None:
        return Provider.GOOGLE_SERVICE_ACCOUNT
    return Provider.AWS_ECR if options["role_arn"] else Provider.STATIC


def _external_id(options: dict[str, Any]) -> Json:
    given, none = options.pop("external_id"), options.pop("no_external_id")
    if none:
        return {"external_id": None}
    return {} if given is None else {"external_id": given}


def _secret(options: dict[str, Any], *, provider: str | None, asks: bool) -> Json:
    """Return the field of the secret, read from the source that the options name."""
    key_file: GivenFile | None = options.pop("key_file")
    from_stdin = options.pop("token_stdin")
    if key_file is None and provider == Provider.GOOGLE_SERVICE_ACCOUNT:
        if sys.stdin.isatty():
            raise click.UsageError("nobody types in a key: give --service-account-key-file")
        key_file = GivenFile.standard_input()
    if key_file is not None:
        return {"service_account_key": _key(key_file)}
    if from_stdin:
        return {"token": _token()}
    if not asks:
        return {}
    if not _can_ask():
        raise click.UsageError("without a terminal nobody is asked for the token: --token-stdin")
    with asking():
        return {"token": click.prompt("Token", hide_input=True, err=True)}


def _can_ask() -> bool:
    """Tell whether there is a terminal to type a password at, even if standard input is a pipe."""
    if sys.stdin.isatty():
        return True
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _token() -> str:
    try:
        content = GivenFile.standard_input().read(MAX_SECRET_BYTES + 2).decode()
    except UnicodeDecodeError:
        fail("standard input is not UTF-8 text")
    return content.removesuffix("\n").removesuffix("\r")


def _key(file: GivenFile) -> Json:
    try:
        return dict(read_object(file.read(MAX_KEY_FILE_BYTES)))
    except UnreadableBodyError:
        fail("the service account's key is not a JSON object (--service-account-key-file FILE)")
    except InvalidRequestError:
        fail("the service account's key has a field twice")


def _read_certificate(body: Json) -> Json:
    """Put the certificates of the file into the body; comments do not count against its bound."""
    file = body.get("ca_certificate")
    if file is None:
        return body
    content = file.read(MAX_CA_FILE_BYTES + 1)
    if len(content) > MAX_CA_FILE_BYTES:
        fail(f"--ca-certificate: expected at most {MAX_CA_FILE_BYTES} bytes")
    try:
        return body | {"ca_certificate": certificates_alone(content)}
    except ValueError as error:  # in our own words
        fail(f"--ca-certificate: {error}")
