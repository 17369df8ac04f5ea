"""`facade check`, `facade tags` and `facade resolve`: what a person can ask of a facade.

They run where the secrets are, beside a facade that serves. They share only the database and the
keys with it. Exit status: 0 done, 1 what was asked for failed, 2 the call or the configuration is
wrong.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import click
import orjson

from facade.commands.check import CheckResources, check_connection
from facade.commands.check_report import STEP_WORDS, CheckReport, CheckStep
from facade.commands.command_run import ApprovedRegistries, NotServedError, run_command, say
from facade.commands.resolve import PlatformManifest, ResolvedTag, resolve_tag
from facade.commands.tags import TagList, list_tags
from facade.commands.typed_reference import (
    TypedDigest,
    TypedRepository,
    TypedTag,
    UnusableReferenceError,
    parse_check_target,
)
from shared.approved_connection import ApprovedConnection
from shared.command_examples import ExemplaryCommand
from shared.output_form import OutputForm, output_form
from shared.registry_host import RegistryHost

_Parsed = TypeVar("_Parsed")


@click.command(
    "check",
    cls=ExemplaryCommand,
    examples=(
        "facade check ghcr.io",
        "facade check ghcr.io/team/app@sha256:…",
    ),
)
@click.argument("target", metavar="HOST[/REPOSITORY@DIGEST]")
@output_form
def check(target: str, *, form: OutputForm | None) -> None:
    """Try a connection step by step, and say in words which one fails.

    A digest is pulled as for a device. Without one, the login of every approved connection of the
    host is tried, and no repository is asked. The result is `passed` or `failed`.
    """
    asked = _parsed(parse_check_target, target)
    run_command(lambda registries: _check(registries, asked, form=form))


@click.command("tags", cls=ExemplaryCommand, examples=("facade tags ghcr.io/team/app",))
@click.argument("repository", metavar="HOST/REPOSITORY")
@output_form
def tags(repository: str, *, form: OutputForm | None) -> None:
    """List a repository's tags, one a line, in the registry's order."""
    asked = _parsed(TypedRepository.parse, repository)
    run_command(lambda registries: _tags(registries, asked, form=form))


@click.command("resolve", cls=ExemplaryCommand, examples=("facade resolve ghcr.io/team/app:1.4",))
@click.argument("reference", metavar="HOST/REPOSITORY:TAG")
@output_form
def resolve(reference: str, *, form: OutputForm | None) -> None:
    """Print the digest that a tag names now, to pin: HOST/REPOSITORY@sha256:..."""
    asked = _parsed(TypedTag.parse, reference)
    run_command(lambda registries: _resolve(registries, asked, form=form))


async def _check(
    registries: ApprovedRegistries, asked: RegistryHost | TypedDigest, *, form: OutputForm | None
) -> bool:
    resources = CheckResources(
        registries.providers, registries.settings.allow_loopback, registries.settings.outbound_proxy
    )
    digest = asked if isinstance(asked, TypedDigest) else None
    reports = []
    for connection in _connections(registries, asked):
        document = connection.document
        at = "/".join(str(part) for part in (document.host, document.repository_prefix) if part)
        say(f"{at}, connection {connection.id}")
        reports.append(
            await check_connection(connection, resources, digest, lambda step: say(str(step)))
        )
    passed = bool(reports) and all(report.has_passed for report in reports)
    if digest is None and any(report.has_tried_login for report in reports):
        say("note: the login alone was tried; HOST/REPOSITORY@DIGEST tries a pull")
    _print(form, check_view(asked, reports), "passed" if passed else "failed")
    return passed


def _connections(
    registries: ApprovedRegistries, asked: RegistryHost | TypedDigest
) -> tuple[ApprovedConnection, ...]:
    """Return what has to be checked; if that is nothing, say why."""
    try:
        if isinstance(asked, TypedDigest):
            return (registries.connection_of(asked.at),)
        return registries.connections_of(asked)
    except NotServedError as error:
        say(f"failed:  {STEP_WORDS[CheckStep.STATEMENT]}: {error}")
        return ()


async def _tags(
    registries: ApprovedRegistries, asked: TypedRepository, *, form: OutputForm | None
) -> bool:
    async with registries.client_of(registries.connection_of(asked)) as client:
        found = await list_tags(client, asked.repository)
    if found.clipped is not None:
        say(f"note: the list is not whole: {found.clipped}")
    if found.left_out:
        say(f"note: {found.left_out} names are no tags, and are left out")
    _print(form, tags_view(asked, found), "\n".join(found.tags))
    return True


async def _resolve(
    registries: ApprovedRegistries, asked: TypedTag, *, form: OutputForm | None
) -> bool:
    async with registries.client_of(registries.connection_of(asked.at)) as client:
        found = await resolve_tag(client, asked.at.repository, asked.tag)
    say(f"media type: {found.media_type}")
    if found.size is not None:
        say(f"size: {found.size} bytes in config and layers")
    for each in found.platforms:
        size = "of a size that is not known" if each.size is None else f"{each.size} bytes"
        say(f"platform: {each.platform}, {each.digest}, {size}")
    if found.left_out:
        say(f"note: {found.left_out} more manifests are left out")
    _print(form, resolve_view(asked, found), f"{asked.at}@{found.digest}")
    return True


def check_view(asked: RegistryHost | TypedDigest, reports: list[CheckReport]) -> dict[str, Any]:
    """Return what `check --json` prints. Without any connection the check has failed."""
    passed = bool(reports) and all(report.has_passed for report in reports)
    digest = asked if isinstance(asked, TypedDigest) else None
    return {
        "outcome": "passed" if passed else "failed",
        "host": str(asked.at.host if isinstance(asked, TypedDigest) else asked),
        "repository": str(digest.at.repository) if digest else None,
        "digest": str(digest.digest) if digest else None,
        "connections": [report.view() for report in reports],
    }


def tags_view(asked: TypedRepository, found: TagList) -> dict[str, Any]:
    """Return what `tags --json` prints; `clipped` says why the list is not whole."""
    return {
        "host": str(asked.host),
        "repository": str(asked.repository),
        "tags": found.tags,
        "clipped": found.clipped,
        "left_out": found.left_out,
    }


def resolve_view(asked: TypedTag, found: ResolvedTag) -> dict[str, Any]:
    """Return what `resolve --json` prints. `facade_*` is what a device asks a facade for."""
    at = f"{asked.at.host.path_form}/{asked.at.repository}"
    return {
        "reference": f"{asked.at}@{found.digest}",
        "facade_reference": f"{at}@{found.digest}",
        "facade_path": f"/v2/{at}/manifests/{found.digest}",
        "host": str(asked.at.host),
        "repository": str(asked.at.repository),
        "tag": asked.tag,
        "digest": str(found.digest),
        "media_type": found.media_type,
        "size_bytes": found.size,
        "platforms": [_platform_view(each) for each in found.platforms],
        "platforms_left_out": found.left_out,
    }


def _platform_view(manifest: PlatformManifest) -> dict[str, Any]:
    return {
        "platform": manifest.platform,
        "digest": str(manifest.digest),
        "size_bytes": manifest.size,
    }


def _parsed(parse: Callable[[str], _Parsed], text: str) -> _Parsed:
    try:
        return parse(text)
    except UnusableReferenceError as error:
        raise click.UsageError(str(error)) from None


def _print(form: OutputForm | None, view: dict[str, Any], words: str) -> None:
    if form is OutputForm.JSON:
        click.echo(orjson.dumps(view, option=orjson.OPT_INDENT_2).decode())
    elif form is OutputForm.YAML:
        click.echo(form.text(view))
    elif words:
        click.echo(words)
