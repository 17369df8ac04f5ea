"""One run of `apply`: plan, show, do, approve, wait."""

import asyncio
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Final

import click
from attrs import define, field, frozen

from control_plane.commands.answers import (
    ConnectionAnswer,
    ExpiryAnswer,
    MadeConnectionAnswer,
    MeAnswer,
)
from control_plane.commands.api_client import ApiClient, ApiRefusedError, Json
from control_plane.commands.apply_result import result_of, warnings_of
from control_plane.commands.applying import (
    Applying,
    Ended,
    NothingDoneError,
    Outcome,
    SecretFields,
    refusal_words,
)
from control_plane.commands.approval_end import ChosenEnd
from control_plane.commands.certainty import require_certainty
from control_plane.commands.columns import one_line
from control_plane.commands.declared_files import DeclaredFiles
from control_plane.commands.printing import has_colours, print_value
from control_plane.commands.running import say
from control_plane.commands.secret_sources import SecretSources, UnreadableSecretError
from control_plane.commands.usage import require_no_contradiction
from control_plane.commands.watching import looks
from control_plane.declared.plan import Does, Plan, PlannedStep, plan
from control_plane.declared.plan_text import plan_lines
from control_plane.declared.present import PresentConnection, present_connection
from control_plane.operators.permissions import Role, reaches
from shared.output_form import OutputForm

CHANGES_EXIT_CODE: Final = 3
_PATH: Final = "connections"
_MAY_REVOKE: Final = frozenset(role for role in Role if reaches(role, Role.APPROVER))
_MARKED: Final = re.compile(r" *([-+~!?]) ")
_MARK_COLOURS: Final = {"+": "green", "-": "red", "~": "yellow", "!": "red", "?": "cyan"}
_WAITED_FOR: Final = frozenset({Does.WAIT, Does.NOTHING})


@frozen(kw_only=True)
class Wished:
    """What the options say."""

    files: Sequence[str]
    dry_run: bool
    prune: bool
    yes: bool
    fingerprints: tuple[str, ...]
    end: ChosenEnd
    despite_send_back: bool
    wait: bool
    timeout: timedelta
    take_over: bool
    allow_commands: bool
    check: bool

    def require_sense(self) -> None:
        """Raise `click.UsageError` for options that contradict one another."""
        require_no_contradiction(
            (
                "give --dry-run or --approve, not both"
                if self.dry_run and self.fingerprints
                else None,
                "give --dry-run or --wait, not both" if self.dry_run and self.wait else None,
                "--yes answers --prune, which is not given"
                if self.yes and not self.prune
                else None,
                "--despite-send-back is of --approve, which is not given"
                if self.despite_send_back and not self.fingerprints
                else None,
                f"{', '.join(self.end.given)} is of --approve, which is not given"
                if self.end.given and not self.fingerprints
                else None,
                "without a terminal nobody is asked whether to revoke: --yes"
                if self.prune and not (self.yes or self.dry_run or sys.stdin.isatty())
                else None,
            )
        )

    def require_set(self, name: str | None) -> None:
        """Raise `click.UsageError` if something is to be pruned or taken over for no set."""
        if name is None and (self.prune or self.take_over):
            option = "--prune" if self.prune else "--take-over"
            raise click.UsageError(f"{option} needs the name of the set in the files: set: NAME")


@define
class ApplyRun:
    """One run: plan, show, do, approve, wait."""

    api: ApiClient
    wished: Wished
    files: DeclaredFiles
    form: OutputForm | None
    outcomes: list[Outcome] = field(factory=list)

    async def status(self) -> int:
        """Do it, and return the exit status."""
        plan_ = await self._plan()
        if self.form is None:
            for line in plan_lines(plan_):
                click.echo(_painted(one_line(line)))
        if self.wished.dry_run:
            self._print_result(plan_)
            if refused := plan_.of(Does.REFUSE):
                say(f"{len(refused)} of them are left alone, as the plan says.")
                return 1
            return CHANGES_EXIT_CODE if plan_.changes else 0
        approvals = _approvable(plan_, self.wished.fingerprints)
        await self._may_prune(plan_)
        secrets = await self._secrets(plan_)
        applying = Applying(self.api, secrets, check=self.wished.check, wait=say)
        self.outcomes = await applying.outcomes(plan_, self._tell)
        has_failed = any(each.ended is not Ended.DONE for each in self.outcomes)
        has_failed |= not await self._approve(approvals)
        self._print_result(plan_)
        if self.wished.wait and not has_failed:
            has_failed = not await self._wait()
        elif self.form is None:
            self._say_next(plan_)
        return 1 if has_failed else 0

    async def _plan(self) -> Plan:
        return plan(
            self.files.wanted,
            await self._present(),
            prune=self.wished.prune,
            take_over=self.wished.take_over,
        )

    async def _present(self) -> list[PresentConnection]:
        views = await self.api.items(ConnectionAnswer, _PATH)
        return [found for view in views if (found := present_connection(view)) is not None]

    async def _may_prune(self, plan_: Plan) -> None:
        """Raise unless the caller may revoke, and wants to."""
        going = plan_.of(Does.REVOKE)
        if not going:
            return
        role = (await self.api.answer(MeAnswer, "GET", "me"))["role"]
        if role not in _MAY_REVOKE:
            raise NothingDoneError(
                f"--prune revokes, which needs the role approver; the token's is {role}. Nothing"
                " was changed"
            )
        told = [
            f"Revoked for ever, and refused to devices at once ({len(going)}):",
            *(f"  {step.place}" for step in going),
        ]
        if plan_.of(Does.CONNECT, Does.CHANGE, Does.WAIT):
            told.append("What waits for an approver does not serve in their place yet.")
        require_certainty(told, "Revoke them?", yes=self.wished.yes)

    async def _secrets(self, plan_: Plan) -> Mapping[str, SecretFields]:
        """Return each secret that is needed, before anything is changed."""
        sources, found, problems = SecretSources(self.wished.allow_commands), {}, list[str]()
        for step in plan_.steps:
            if step.secret is None or step.wanted is None:
                continue
            folder, name = self.files.folder_of(step.wanted), step.wanted.name
            try:
                found[name] = await sources.fields(
                    step.secret.reference, folder, step.wanted.body["provider"]
                )
            except UnreadableSecretError as error:
                problems.append(f"  {name}: {error}")
        if problems:
            lines = ["secrets cannot be read, and nothing was changed:", *problems]
            raise click.UsageError("\n".join(lines))
        return found

    async def _approve(self, steps: Sequence[PlannedStep]) -> bool:
        """Approve these drafts; tell whether all of them were."""
        is_done = True
        for step in steps:
            if step.present is None or step.fingerprint is None:
                continue
            present: ExpiryAnswer | None = None
            if self.wished.end.keep_expiry:
                present = await self.api.answer(ExpiryAnswer, "GET", _PATH, step.present.id)
            body: Json = {"fingerprint": step.fingerprint} | self.wished.end.body(present)
            if self.wished.despite_send_back:
                body["despite_send_back"] = True
            try:
                view = await self.api.answer(
                    MadeConnectionAnswer, "POST", _PATH, step.present.id, "approve", body=body
                )
            except ApiRefusedError as error:
                is_done = False
                outcome = Outcome(step, Ended.FAILED, refusal_words(error))
            else:
                outcome = Outcome(step, Ended.DONE, "approved", view)
            self._tell(outcome)
            self.outcomes.append(outcome)
        return is_done

    async def _wait(self) -> bool:
        """Wait until what the files want serves; tell whether it does."""
        clock = asyncio.get_running_loop().time
        seconds = self.wished.timeout.total_seconds()
        deadline = clock() + seconds
        said: tuple[PlannedStep, ...] = ()
        async for present in looks(self._present, silence_seconds=seconds):
            now = plan(self.files.wanted, present)
            if ended := [*_ended_waits(now)]:
                for words in ended:
                    say(words)
                return False
            waiting = now.of(Does.WAIT)
            if not waiting:
                say("All of it is approved.")
                return True
            if waiting != said:
                say(f"Waiting for {len(waiting)} to be approved.")
                said = waiting
            if clock() >= deadline:
                break
        for step in said:
            say(f"{step.place}: still waits for an approver: {step.fingerprint}")
        return False

    def _tell(self, outcome: Outcome) -> None:
        place, words = outcome.step.place, outcome.words
        if outcome.ended is not Ended.DONE:
            say(f"{place}: {outcome.ended.value.upper()}: {words}")
        elif self.form is None:
            named = f"; its draft has {outcome.fingerprint}" if outcome.fingerprint else ""
            click.echo(one_line(f"{place}: {words}{named}"))
            for words in outcome.stands_out:
                click.echo(one_line(f"      {words}"))
        for warning in warnings_of(outcome):
            say(f"WARNING: {warning}")

    def _print_result(self, plan_: Plan) -> None:
        if self.form:
            print_value(result_of(plan_, self.outcomes, dry_run=self.wished.dry_run), self.form)

    def _say_next(self, plan_: Plan) -> None:
        made = [each.fingerprint for each in self.outcomes if each.fingerprint]
        approved = {each.step.fingerprint for each in self.outcomes if each.step.fingerprint}
        waits = [step.fingerprint for step in plan_.of(Does.WAIT)]
        waits = [each for each in waits if each not in approved]
        if fingerprint := next(iter([*made, *waits]), None):
            files = " ".join(f"-f {path}" for path in self.wished.files)
            say("")
            say(f"{len(made) + len(waits)} wait for an approver, who compares the fingerprint")
            say("(`control-plane connections review HOST` shows what changes):")
            say(f"  control-plane apply {files} --approve {fingerprint}")
            if len(made) + len(waits) > 1:
                say("That approves the first of them; --approve is given once for each.")


def _ended_waits(now: Plan) -> Iterator[str]:
    """Yield for what there is no use in waiting any longer."""
    for step in now.steps:
        if step.does is Does.WAIT and step.why:  # it was sent back
            yield f"{step.place}: {step.why}"
        elif step.does not in _WAITED_FOR:
            yield f"{step.place}: somebody changed it meanwhile; apply again"


def _painted(line: str) -> str:
    """Return a line of a plan in the colour of its mark, where a terminal has colours."""
    marked = _MARKED.match(line)
    if marked is None or not has_colours():
        return line
    return click.style(line, fg=_MARK_COLOURS[marked[1]])


def _approvable(plan_: Plan, fingerprints: Sequence[str]) -> list[PlannedStep]:
    """Return the steps whose drafts have these fingerprints, of those that are as wanted.

    What serves with one of them already is approved. Raises `NothingDoneError` for any other.
    """
    drafts = {step.fingerprint: step for step in plan_.of(Does.WAIT)}
    serving = {
        step.present.serving.fingerprint
        for step in plan_.of(Does.NOTHING)
        if step.present and step.present.serving
    }
    others = {
        step.present.draft.fingerprint: step.place
        for step in plan_.steps
        if step.present and step.present.draft and step.does is not Does.WAIT
    }
    problems = []
    for each in fingerprints:
        if each in others:
            problems.append(f"{each} is of a draft of {others[each]} that the files do not want")
        elif each not in drafts and each not in serving:
            problems.append(f"no draft of these connections has {each}; is it an earlier one?")
    if problems:
        raise NothingDoneError("\n".join([*problems, "nothing was changed, nor approved"]))
    return [drafts[each] for each in fingerprints if each in drafts]
