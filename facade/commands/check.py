"""Tries one connection for real, where its secret is: every step of a pull, in words.

A digest is pulled as for a device, by the same code and in the same order: if the pull fails, so
does the check. Without a digest no repository is asked, and only the login is tried. Unlike a
facade that serves, a check remembers nothing, and it goes on only while each step succeeds.
"""

from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Final, assert_never

from attrs import field, frozen

from facade.commands.check_login import CheckLogin
from facade.commands.check_pull import pull
from facade.commands.check_report import (
    STEP_OF_ERROR,
    CheckReport,
    CheckStep,
    StepFailedError,
    Tell,
)
from facade.commands.external_id import check_external_id
from facade.commands.typed_reference import TypedDigest
from facade.registries.aws.ecr import EcrProvider
from facade.registries.providers import Providers
from shared.approved_connection import ApprovedConnection
from shared.connection import Anonymous, EcrRole, GoogleServiceAccount, UsernameAndToken
from shared.sealed_secret import SealedSecretError
from shared.upstream.authorization import OneShotAuthorizer
from shared.upstream.basic_credential import BasicCredential
from shared.upstream.challenge import Challenge
from shared.upstream.check import CHECK_TIMEOUTS
from shared.upstream.client import RegistryClient
from shared.upstream.credentials.short_lived import CredentialProvider
from shared.upstream.errors import Step, UpstreamError
from shared.upstream.proxy import OutboundProxy
from shared.upstream.resolver import PinnedResolver
from shared.upstream.target import UpstreamTarget
from shared.upstream.transport import UpstreamTransport

_THROUGH_PROXY: Final = " through the outbound proxy"
_BESIDE_PROXY: Final = " directly, beside the outbound proxy"


@frozen
class CheckResources:
    """What checks need."""

    providers: Providers
    allow_loopback: bool
    proxy: OutboundProxy | None


async def check_connection(
    connection: ApprovedConnection, resources: CheckResources, asked: TypedDigest | None, tell: Tell
) -> CheckReport:
    """Try a connection, and a digest that it serves. Tell of each step as it happens."""
    report = CheckReport(connection, tell)
    target = UpstreamTarget.of_terms(connection.document, allow_loopback=resources.allow_loopback)
    async with AsyncExitStack() as stack:
        with suppress(StepFailedError):  # the report has it
            await _Check(connection, resources, target, report, stack).run(asked)
    return report


@frozen
class _Check:
    _connection: ApprovedConnection
    _resources: CheckResources
    _target: UpstreamTarget
    _report: CheckReport
    _stack: AsyncExitStack = field(repr=False)

    async def run(self, asked: TypedDigest | None) -> None:
        """Take every step; raise `StepFailedError` after the one that failed."""
        self._read_statement()
        provider = self._open_secret()
        way = await self._resolve()
        transport = await self._open_transport()
        challenges = await self._reach(transport, way, is_all=asked is None)
        credential = await self._mint_credential(provider)
        login = CheckLogin(transport, credential, self._report)
        self._stack.callback(login.close)
        if asked is None:
            await login.at_root(challenges)
        else:
            # Artifactory names a token endpoint for each repository, and another at its root.
            await self._pull(login, asked)

    def _read_statement(self) -> None:
        connection = self._connection
        if connection.expires_at is not None and connection.expires_at <= datetime.now(UTC):
            self._report.fail(
                CheckStep.STATEMENT, f"it expired at {_second(connection.expires_at)}"
            )
        self._report.ok(
            CheckStep.STATEMENT,
            f"verified, by {connection.approved_by} at {_second(connection.approved_at)};"
            f" {connection.fingerprint}, generation {connection.generation}",
        )

    def _open_secret(self) -> CredentialProvider | None:
        try:
            provider = self._resources.providers.provider_of(self._connection)
        except SealedSecretError as error:
            self._report.fail(CheckStep.SECRET, str(error))
        match self._connection.document.credential:
            case Anonymous():
                self._report.skipped(CheckStep.SECRET, "the connection is anonymous")
            case EcrRole():
                self._report.skipped(CheckStep.SECRET, "a role needs none")
            case UsernameAndToken(username=username):
                self._report.ok(CheckStep.SECRET, f"it is the token of {username}")
            case GoogleServiceAccount(client_email=client_email):
                self._report.ok(CheckStep.SECRET, f"it is the key of {client_email}")
            case _ as unreachable:
                assert_never(unreachable)
        return provider

    async def _resolve(self) -> str:
        """Return in words how the registry is reached."""
        proxy, endpoint = self._resources.proxy, self._target.endpoint
        host, port = endpoint.raw_host or "", endpoint.port or 0
        if proxy is not None and proxy.is_told_name(host, port):
            self._report.skipped(CheckStep.RESOLVE, "the outbound proxy does")
            return _THROUGH_PROXY
        resolver = PinnedResolver(self._target.egress_rule)
        try:
            with self._report.failing_at(CheckStep.RESOLVE):
                found = await resolver.resolve(host, port)
        finally:
            await resolver.close()
        addresses = ", ".join(each["host"] for each in found)
        self._report.ok(CheckStep.RESOLVE, f"{host} is at {addresses}")
        if proxy is None:
            return ""
        known = [ip_address(each["host"]) for each in found]
        return _BESIDE_PROXY if proxy.no_proxy.covers_all(host, port, known) else _THROUGH_PROXY

    async def _open_transport(self) -> UpstreamTransport:
        with self._report.failing_at(CheckStep.TLS):
            transport = await UpstreamTransport.open(
                self._target, timeouts=CHECK_TIMEOUTS, proxy=self._resources.proxy
            )
        self._stack.push_async_callback(transport.close)
        return transport

    async def _reach(
        self, transport: UpstreamTransport, way: str, *, is_all: bool
    ) -> tuple[Challenge, ...] | None:
        """Return the challenges of a registry that asks for a login, None if it does not.

        `is_all`: nothing but its root is asked for, so an odd answer there fails the check. A pull
        does not ask for the root.
        """
        client = RegistryClient(transport, OneShotAuthorizer(transport, None))
        try:
            ping = await client.ping()
        except UpstreamError as error:
            failed_at = _step_of_reaching(error)
            self._tell_connected(failed_at, way)
            if is_all or failed_at is not CheckStep.CHALLENGE:
                self._report.fail_with(error, failed_at)
            return None
        self._tell_connected(CheckStep.CHALLENGE, way)
        return None if ping.is_open else ping.challenges

    def _tell_connected(self, reached: CheckStep, way: str) -> None:
        """Tell what went well on the way to a step that tells of itself."""
        if reached is CheckStep.CONNECT:
            return
        self._report.ok(CheckStep.CONNECT, f"to {self._target.endpoint.authority}{way}")
        if self._target.plain_http:
            self._report.skipped(CheckStep.TLS, "plain HTTP, as approved")
        elif reached is not CheckStep.TLS:
            self._report.ok(CheckStep.TLS, "the certificate is trusted")

    async def _mint_credential(self, provider: CredentialProvider | None) -> BasicCredential | None:
        """Return what the registry is shown. Google or AWS may be asked for it."""
        if provider is None:
            return None
        role = self._connection.document.credential
        try:
            minted = await provider.mint()
        except UpstreamError as error:
            if isinstance(role, EcrRole) and error.step is not Step.ASSUME_ROLE:
                self._report.ok(CheckStep.ASSUME_ROLE, "the facade's identity may")
            self._report.fail_with(error, STEP_OF_ERROR.get(error.step, CheckStep.EXCHANGE))
        if isinstance(provider, EcrProvider) and isinstance(role, EcrRole):
            self._report.ok(CheckStep.ASSUME_ROLE, "the facade's identity may")
            await check_external_id(provider, role, self._report)
        if minted.lifetime_seconds is not None:
            self._report.minted(minted.lifetime_seconds, "the provider")
        return minted.basic

    async def _pull(self, login: CheckLogin, asked: TypedDigest) -> None:
        with self._report.failing_at(CheckStep.PULL):
            pulled = await pull(login.client, asked)
        login.was_let_in()
        if pulled is None:
            words = "the registry has no manifest and no blob of this digest"
            self._report.fail(CheckStep.PULL, words)
        self._report.ok(CheckStep.PULL, pulled)


def _second(moment: datetime) -> str:
    return moment.isoformat(" ", "seconds")


def _step_of_reaching(error: UpstreamError) -> CheckStep:
    step = STEP_OF_ERROR.get(error.step, CheckStep.CHALLENGE)
    # The host itself was resolved, so it is one that the registry redirects to.
    return CheckStep.CHALLENGE if step is CheckStep.RESOLVE else step
