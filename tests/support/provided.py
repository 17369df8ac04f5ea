"""Registries whose credentials a provider mints, simulated together with their provider."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import orjson
from attrs import define, field

from shared.connection import EcrRole, GoogleServiceAccount
from tests.support.simulators.aws import AwsSimulator, Identity, sts_error
from tests.support.simulators.behaviour import Answers
from tests.support.simulators.google import INVALID_GRANT, GoogleSimulator, ServiceAccount
from tests.support.simulators.minted import (
    ArtifactRegistry,
    EcrRegistry,
    MintedRegistry,
    MintedTokens,
)

ACCOUNT: Final = "123456789012"
ROLE_ARN: Final = f"arn:aws:iam::{ACCOUNT}:role/puller"
EXTERNAL_ID: Final = "canary-external-id-5c1d"
REGION: Final = "eu-central-1"


@define
class Provided:
    """A registry, the provider of its credentials, and what a connection to it is made of."""

    provider: GoogleSimulator | AwsSimulator
    tokens: MintedTokens
    registry: MintedRegistry
    fields: dict[str, Any]
    other_fields: dict[str, Any]  # as an operator changes them: a new key, a new external id
    refusal: Answers  # the provider's, of this account or role

    @property
    def asked(self) -> int:
        """How many requests the provider got."""
        return len(self.provider.requests)

    def answers(self, answer: Answers | None) -> None:
        """Have the provider give this answer to everything from now on; None: be itself."""
        match self.provider:
            case GoogleSimulator() as google:
                google.always = answer
            case AwsSimulator() as aws:
                aws.always = {"sts": answer} if answer else {}

    def live_for(self, seconds: int) -> None:
        """From now on, mint credentials that live so long."""
        self.tokens.accepted_seconds = seconds
        match self.provider:
            case GoogleSimulator() as google:
                google.expires_in = seconds
            case AwsSimulator() as aws:
                aws.token_seconds = seconds


@define
class ProviderEstate:
    """Both providers, on ports that a facade can be told before they listen."""

    google_port: int
    aws_port: int
    account: ServiceAccount = field(factory=ServiceAccount.create)
    facade: Identity = field(factory=Identity.create)

    @property
    def facade_settings(self) -> dict[str, str]:
        """What a facade is configured with."""
        return {
            "FACADE_GOOGLE_TOKEN_URL": f"http://127.0.0.1:{self.google_port}/token",
            "FACADE_AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.aws_port}",
            **self.facade.environment,
        }

    @asynccontextmanager
    async def google(self) -> AsyncIterator[Provided]:
        """Give Google with an Artifact Registry."""
        async with GoogleSimulator(self.account, port=self.google_port) as simulator:
            credential = GoogleServiceAccount(self.account.client_email, self.account.project_id)
            key = orjson.dumps(self.account.key_json()).decode()
            fields = {"credential": credential, "token": key}
            async with ArtifactRegistry(simulator.tokens) as registry:
                yield Provided(
                    simulator,
                    simulator.tokens,
                    registry,
                    fields,
                    fields | {"secret_version": 2},
                    INVALID_GRANT,
                )

    @asynccontextmanager
    async def ecr(self) -> AsyncIterator[Provided]:
        """Give AWS with a private ECR registry."""
        async with AwsSimulator(facade=self.facade, port=self.aws_port) as simulator:
            simulator.roles[ROLE_ARN] = EXTERNAL_ID
            other = EcrRole(f"{ROLE_ARN}-2", ACCOUNT, REGION, f"{EXTERNAL_ID}-2")
            simulator.roles[other.role_arn] = other.external_id
            async with EcrRegistry(simulator.tokens) as registry:
                yield Provided(
                    simulator,
                    simulator.tokens,
                    registry,
                    {"credential": EcrRole(ROLE_ARN, ACCOUNT, REGION, EXTERNAL_ID)},
                    {"credential": other},
                    sts_error(403, "AccessDenied"),
                )
