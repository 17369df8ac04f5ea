"""What a connection's check saw: each step with its outcome, in words."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, Final, NoReturn

from attrs import define, field, frozen

from facade.errors import CommandError
from shared.approved_connection import ApprovedConnection
from shared.upstream.errors import RealmNotAllowedError, Step, UpstreamError


class CheckStep(StrEnum):
    """The steps in the order in which a pull takes them; the values are fixed."""

    STATEMENT = "statement"
    SECRET = "secret"  # noqa: S105 - a step's name
    RESOLVE = "resolve"
    CONNECT = "connect"
    TLS = "tls"
    CHALLENGE = "challenge"
    ASSUME_ROLE = "assume_role"
    EXTERNAL_ID = "external_id"
    REALM = "realm"
    EXCHANGE = "exchange"
    LOGIN = "login"
    PULL = "pull"


STEP_WORDS: Final = {
    CheckStep.STATEMENT: "the approval",
    CheckStep.SECRET: "opening the secret",
    CheckStep.RESOLVE: "resolving the host",
    CheckStep.CONNECT: "connecting",
    CheckStep.TLS: "the TLS handshake",
    CheckStep.CHALLENGE: "asking how to log in",
    CheckStep.ASSUME_ROLE: "assuming the role",
    CheckStep.EXTERNAL_ID: "the role's external id",
    CheckStep.REALM: "the token endpoint",
    CheckStep.EXCHANGE: "getting a token",
    CheckStep.LOGIN: "logging in",
    CheckStep.PULL: "pulling the digest",
}


STEP_OF_ERROR: Final = {
    Step.RESOLVE: CheckStep.RESOLVE,
    Step.CONNECT: CheckStep.CONNECT,
    Step.TLS: CheckStep.TLS,
    Step.CHALLENGE: CheckStep.CHALLENGE,
    Step.REALM: CheckStep.REALM,
    Step.ASSUME_ROLE: CheckStep.ASSUME_ROLE,
    Step.EXCHANGE: CheckStep.EXCHANGE,
}


def words_of(error: UpstreamError) -> str:
    """Return an error with the step that failed, and the realm that was refused."""
    step = STEP_OF_ERROR.get(error.step)
    where = "asking the registry" if step is None else STEP_WORDS[step]
    if isinstance(error, RealmNotAllowedError):
        return f"{where} failed: {error.message}: {error.realm}; {error.advice}"
    return f"{where} failed: {error.words}"


class StepFailedError(CommandError):
    """A step failed and was told. Nothing comes after it."""


class StepOutcome(StrEnum):
    """How a step ended."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"  # this connection does not need it, or it is not ours to do


@frozen
class StepReport:
    """One step, in words without a secret and without a registry's own text."""

    step: CheckStep
    outcome: StepOutcome
    text: str

    def __str__(self) -> str:
        """Return the line for people."""
        return f"{self.outcome.value + ':':<9}{STEP_WORDS[self.step]}: {self.text}"


Tell = Callable[[StepReport], None]


@define
class CheckReport:
    """The steps of one connection. Each is told at once."""

    connection: ApprovedConnection = field(repr=False)
    _tell: Tell
    steps: list[StepReport] = field(factory=list)
    auth_scheme: str | None = None
    realm: str | None = None
    token_expires_in_seconds: float | None = None

    def ok(self, step: CheckStep, text: str) -> None:
        """Tell of a step that went well."""
        self._note(StepReport(step, StepOutcome.OK, text))

    def skipped(self, step: CheckStep, text: str) -> None:
        """Tell of a step that is not needed."""
        self._note(StepReport(step, StepOutcome.SKIPPED, text))

    def failed(self, step: CheckStep, text: str) -> None:
        """Tell of a step that failed, although others may follow."""
        self._note(StepReport(step, StepOutcome.FAILED, text))

    def minted(self, seconds: float, giver: str) -> None:
        """Tell of a token, and how long it holds."""
        self.token_expires_in_seconds = round(seconds, 3)
        self.ok(CheckStep.EXCHANGE, f"{giver} gives a token for {seconds:.0f} s")

    def fail(self, step: CheckStep, text: str) -> NoReturn:
        """Tell of a step that failed, and end the check: raise `StepFailedError`."""
        self.failed(step, text)
        raise StepFailedError

    def fail_with(self, error: UpstreamError, step: CheckStep) -> NoReturn:
        """Tell of an error in a step. If an earlier step failed on the way, name that one."""
        if isinstance(error, RealmNotAllowedError):
            self.realm = error.realm
            self.fail(
                CheckStep.REALM,
                f"{error.message}: {error.realm} was sent nothing; {error.advice}",
            )
        cause = STEP_OF_ERROR.get(error.step, step)
        on_the_way = "" if cause is step else f"{STEP_WORDS[cause]} failed: "
        self.fail(step, on_the_way + error.words)

    @contextmanager
    def failing_at(self, step: CheckStep) -> Iterator[None]:
        """End the check at this step if the block raises an `UpstreamError`."""
        try:
            yield
        except UpstreamError as error:
            self.fail_with(error, step)

    @property
    def has_tried_login(self) -> bool:
        """Whether the check got as far as the login, however that ended."""
        return any(each.step is CheckStep.LOGIN for each in self.steps)

    def _note(self, step: StepReport) -> None:
        self.steps.append(step)
        self._tell(step)

    @property
    def has_passed(self) -> bool:
        """Whether no step failed."""
        return all(each.outcome is not StepOutcome.FAILED for each in self.steps)

    def view(self) -> dict[str, Any]:
        """Return the report for JSON."""
        document = self.connection.document
        return {
            "id": str(self.connection.id),
            "generation": self.connection.generation,
            "provider": document.provider.value,
            "repository_prefix": str(document.repository_prefix or ""),
            "outcome": "passed" if self.has_passed else "failed",
            "auth_scheme": self.auth_scheme,
            "realm": self.realm,
            "token_expires_in_seconds": self.token_expires_in_seconds,
            "steps": [
                {"step": each.step.value, "outcome": each.outcome.value, "text": each.text}
                for each in self.steps
            ],
        }
