"""What the commands other than `serve` have in common: how they begin and end."""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final, NoReturn

import click
import uvloop
from attrs import field, frozen

from facade.approvals.access import DenialReason, serving_connection
from facade.approvals.read_once import Approvals, read_approvals
from facade.commands.check_report import words_of
from facade.commands.typed_reference import TypedRepository
from facade.errors import CommandError
from facade.metrics.metrics import FacadeMetrics
from facade.registries.providers import Providers, open_providers
from facade.registries.unsealer import Unsealer
from facade.registries.upstream_connector import UpstreamConnector
from facade.serving.config import PREFIX, FacadeSettings, UpstreamSettings
from facade.serving.setting_files import MAX_FILE_BYTES
from facade.values.piece import WrongBytesError
from shared import structured_log
from shared.approved_connection import ApprovedConnection
from shared.bounded_file import read_bounded
from shared.environment import (
    CONFIGURATION_ERROR_EXIT_CODE,
    ConfigurationError,
    exit_with_configuration_error,
    load,
)
from shared.keys import InvalidKeyFileError, load_sealing_private_keys, load_statement_public_keys
from shared.log_fields import bounded_text
from shared.postgres.exposure import exposure_of
from shared.registry_host import RegistryHost
from shared.safe_message import SafeMessage
from shared.sealed_secret import SealedSecretError
from shared.upstream.client import RegistryClient
from shared.upstream.errors import UpstreamError
from shared.upstream.transport import TransportResources

FAILED_EXIT_CODE: Final = 1


class NotServedError(SafeMessage, CommandError):
    """No approved connection serves what was asked for; the message says why."""


@frozen
class ApprovedRegistries:
    """What is approved, and the way to its registries: what a command asks."""

    settings: UpstreamSettings
    approvals: Approvals
    providers: Providers
    transport: TransportResources = field(factory=TransportResources)

    def connection_of(self, asked: TypedRepository) -> ApprovedConnection:
        """Return the connection that serves a repository; raise `NotServedError`."""
        candidates = self.approvals.snapshot.connections.of_host(asked.host)
        decision = serving_connection(asked.repository, candidates, datetime.now(UTC))
        if isinstance(decision, DenialReason):
            raise _not_served(asked, asked.host, decision)
        return decision

    def connections_of(self, host: RegistryHost) -> tuple[ApprovedConnection, ...]:
        """Return every approved connection of a host; raise `NotServedError` for none."""
        connections = self.approvals.snapshot.connections.of_host(host)
        if not connections:
            raise _not_served(host, host, DenialReason.NOT_CONNECTED)
        return connections

    @asynccontextmanager
    async def client_of(self, connection: ApprovedConnection) -> AsyncIterator[RegistryClient]:
        """Give the connection's client, made as a facade that serves makes it."""
        connector = UpstreamConnector(
            self.providers,
            FacadeMetrics.create(),
            allow_loopback=self.settings.allow_loopback,
            resources=self.transport,
            proxy=self.settings.outbound_proxy,
        )
        client = await connector.client(connection)
        try:
            yield client
        finally:
            await client.close()


Work = Callable[[ApprovedRegistries], Awaitable[bool]]


def run_command(work: Work) -> NoReturn:
    """Do a command's work, and exit: 0 if it succeeded, 1 if not, 2 if it cannot begin."""
    structured_log.configure("warning", structured_log.STANDARD_ERROR)
    try:
        settings = load(UpstreamSettings, PREFIX, beside=(FacadeSettings,))
        succeeded = uvloop.run(_begin(settings, work))
    except ConfigurationError as error:
        exit_with_configuration_error(error)
    except InvalidKeyFileError as error:
        say(f"facade: {error}")
        sys.exit(CONFIGURATION_ERROR_EXIT_CODE)
    except UpstreamError as error:
        _fail(words_of(error))
    except (CommandError, SealedSecretError, WrongBytesError) as error:
        _fail(str(error))
    sys.exit(0 if succeeded else FAILED_EXIT_CODE)


def say(text: str) -> None:
    """Print a line for people. What could control a terminal is written as an escape."""
    click.echo(bounded_text(text), err=True)


async def _begin(settings: UpstreamSettings, work: Work) -> bool:
    opener = Unsealer(
        load_sealing_private_keys(read_bounded(settings.sealing_private_key_file, MAX_FILE_BYTES))
    )
    statement_keys = load_statement_public_keys(
        read_bounded(settings.statement_public_key_file, MAX_FILE_BYTES)
    )
    if (exposure := exposure_of(settings.database_url)) is not None:
        say(f"warning: {PREFIX}_DATABASE_URL: {exposure}")
    approvals = await read_approvals(settings.database_url, statement_keys)
    for refused in approvals.refused:
        say(f"note: the database's {refused.row.subject} is not believed: {refused.reason}")
    resources = TransportResources()
    async with open_providers(
        opener,
        resources.tls,
        aws_endpoint_url=settings.aws_endpoint_url,
        google_token_url=settings.google_token_url,
        proxy=settings.outbound_proxy,
    ) as providers:
        return await work(ApprovedRegistries(settings, approvals, providers, resources))


def _fail(reason: str) -> NoReturn:
    say(f"facade: {reason}")
    sys.exit(FAILED_EXIT_CODE)


def _not_served(asked: object, host: RegistryHost, reason: DenialReason) -> NotServedError:
    """Return what says why, and where an operator sees whether it waits, or was revoked."""
    return NotServedError(f"{asked}: {reason}; see `control-plane connections show {host}`")
