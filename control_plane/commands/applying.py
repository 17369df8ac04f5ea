"""Carries a plan out: one call of the API for each connection, and what came of each.

Connections do not depend on one another. So if one is refused, the others are done all the same,
and the whole has failed; only what cannot work for any of them ends it. Nothing is revoked after a
failure, because what was to take its place may be missing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from enum import Enum
from http import HTTPStatus
from typing import Any, Final, TypeVar

from attrs import define, field, frozen

from control_plane.commands.answers import ConnectionAnswer, HighlightsAnswer, MadeConnectionAnswer
from control_plane.commands.api_client import ApiClient, ApiRefusedError, ApiUnreachableError
from control_plane.commands.api_problem import realm_words, title_of, wrong_fields
from control_plane.declared.field_names import file_name_of
from control_plane.declared.plan import Does, Plan, PlannedStep
from control_plane.declared.present import present_connection
from control_plane.errors import ControlPlaneError

MAX_RETRIES: Final = 30  # after 429; checks of registries come one in two seconds
MAX_RETRY_SECONDS: Final = 60  # a longer Retry-After is not waited for
MAX_REVIEWED_DRAFTS: Final = 200  # nobody reads more of them; each costs a call
_PATH: Final = "connections"
# What fails for one connection with one of these fails for every other.
_ENDING: Final = frozenset(
    {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.SERVICE_UNAVAILABLE}
)
_CHANGED: Final = "somebody changed it since the plan was made: look at it, and apply again"
_UNKNOWN: Final = "there was no answer: whether it was done shows the next plan"

_Answer = TypeVar("_Answer")

SecretFields = Mapping[str, object]  # of a request


class Ended(Enum):
    """How it ended with one connection."""

    DONE = "done"
    FAILED = "failed"
    NOT_TRIED = "not tried"


@frozen
class Outcome:
    """What became of one connection."""

    step: PlannedStep
    ended: Ended
    words: str
    view: MadeConnectionAnswer | None = None
    stands_out: tuple[str, ...] = ()  # of the draft that was made, as its review says

    @property
    def fingerprint(self) -> str | None:
        """What an approval of the draft that was made names."""
        if self.view is None or self.step.does not in (Does.CONNECT, Does.CHANGE):
            return None
        newest = self.view["draft"] or (self.view if self.view["status"] == "pending" else None)
        return str(newest["fingerprint"]) if newest else None


@define
class Applying:
    """Does the steps of a plan, one after another."""

    api: ApiClient
    secrets: Mapping[str, SecretFields] = field(repr=False)  # by the connection's name
    check: bool
    wait: Callable[[str], None]  # is told why it waits
    _why_ended: str | None = None
    _has_failed: bool = False
    _reviewed: int = 0

    async def outcomes(self, plan: Plan, tell: Callable[[Outcome], None]) -> list[Outcome]:
        """Do what is to be done, tell what became of each as it ends, and return all."""
        outcomes = []
        for step in self._steps(plan):
            outcome = await self._outcome(step)
            self._has_failed |= outcome.ended is not Ended.DONE
            tell(outcome)
            outcomes.append(outcome)
        return outcomes

    def _steps(self, plan: Plan) -> Iterator[PlannedStep]:
        yield from plan.of(Does.REFUSE, Does.CONNECT, Does.CHANGE, Does.DISCARD)
        yield from plan.of(Does.REVOKE)  # last: what takes its place is there by then

    async def _outcome(self, step: PlannedStep) -> Outcome:
        if step.does is Does.REFUSE:
            return Outcome(step, Ended.FAILED, step.why)
        if self._why_ended is not None:
            return Outcome(step, Ended.NOT_TRIED, self._why_ended)
        if step.does is Does.REVOKE and self._has_failed:
            return Outcome(step, Ended.NOT_TRIED, "nothing is revoked after a failure")
        try:
            return await self._done(step)
        except ApiUnreachableError as error:
            self._why_ended = "the control plane did not answer"
            return Outcome(step, Ended.FAILED, f"{error}; {_UNKNOWN}")
        except ApiRefusedError as error:
            if error.status in _ENDING:
                self._why_ended = "what refused the one before refuses all"
            return Outcome(step, Ended.FAILED, refusal_words(error))

    async def _done(self, step: PlannedStep) -> Outcome:
        query = {"check": str(self.check).lower()}
        present, seen = step.present.id if step.present else "", None
        if step.present is not None:
            shown = await self.api.tagged(ConnectionAnswer, _PATH, present)
            if present_connection(shown.answer) != step.present:
                return Outcome(step, Ended.FAILED, _CHANGED)
            seen = shown.tag
        match step.does:
            case Does.CONNECT:
                body = step.body(self._secret(step))
                view = await self._shown("POST", _PATH, query=query, body=body)
                return Outcome(step, Ended.DONE, "connected", view, await self._standing_out(view))
            case Does.CHANGE:
                body = step.body(self._secret(step))
                view = await self._shown("PATCH", _PATH, present, query=query, body=body, seen=seen)
                is_drafted = view["draft"] or view["status"] == "pending"
                if not is_drafted:
                    return Outcome(step, Ended.DONE, "changed", view)
                return Outcome(step, Ended.DONE, "draft made", view, await self._standing_out(view))
            case Does.DISCARD:
                await self._retried(
                    lambda: self.api.call("DELETE", _PATH, present, "draft", seen=seen)
                )
                return Outcome(step, Ended.DONE, "draft discarded")
            case _:
                reason = {"reason": f"no longer in the files of the set {step.set_name}"}
                view = await self._shown("POST", _PATH, present, "revoke", body=reason, seen=seen)
                return Outcome(step, Ended.DONE, "revoked, for ever", view)

    async def _shown(self, method: str, *path: str, **asked: Any) -> MadeConnectionAnswer:
        """Call with what `ApiClient.answer` takes, and return the connection as it is then."""
        return await self._retried(
            lambda: self.api.answer(MadeConnectionAnswer, method, *path, **asked)
        )

    async def _standing_out(self, view: MadeConnectionAnswer) -> tuple[str, ...]:
        """Return what an approver of the draft that was made will be shown first."""
        self._reviewed += 1
        if self._reviewed > MAX_REVIEWED_DRAFTS:
            return ()
        try:
            review = await self._retried(
                lambda: self.api.answer(HighlightsAnswer, "GET", _PATH, view["id"], "review")
            )
        except ControlPlaneError as error:
            return (f"its review cannot be read: {error}",)
        return tuple(
            f"{each['weight']}: {each['words']}" for each in review["highlights"] if each["is_new"]
        )

    def _secret(self, step: PlannedStep) -> SecretFields:
        return self.secrets[step.wanted.name] if step.secret and step.wanted else {}

    async def _retried(self, call: Callable[[], Awaitable[_Answer]]) -> _Answer:
        """Call, and call again if the control plane says when: it did nothing until then."""
        for _ in range(MAX_RETRIES):
            try:
                return await call()
            except ApiRefusedError as error:
                seconds = error.retry_after_seconds
                if error.status != HTTPStatus.TOO_MANY_REQUESTS or seconds is None:
                    raise
                if seconds > MAX_RETRY_SECONDS:
                    raise
                self.wait(f"too many checks of registries; going on in {seconds} s (--no-check)")
                await asyncio.sleep(seconds)
        return await call()


def refusal_words(error: ApiRefusedError) -> str:
    """Return what the API refused, with the fields as files spell them."""
    lines = [title_of(error.status, error.problem)]
    for wrong in wrong_fields(error.problem):
        name, *inner = wrong.path
        where = "/".join([file_name_of(name), *inner]) or "the whole"
        lines.append(f"  {where}: {wrong.detail}")
    lines += realm_words(error.problem)
    if error.advice:
        lines.append(f"  next: {error.advice}")
    return "\n".join(lines)


class NothingDoneError(ControlPlaneError):
    """What was asked for cannot be done; the message says why, and nothing was changed."""
