"""One run of the agent: what was begun is ended, then the fleet is asked, then the machine goes on.

Each step does the work of one phase, and ends with one event. The journal has it on disk before the
next step begins.
"""

import datetime as dt
from collections.abc import Callable
from enum import Enum
from typing import Any, Final

from attrs import define, evolve, field

from device_agent import journal as journals
from device_agent.applying import Slots
from device_agent.config import Configuration
from device_agent.contents import Contents
from device_agent.download import Downloads
from device_agent.errors import AgentError, ApplyError, LinkError, RefusedError, StorageError
from device_agent.floors import raised
from device_agent.health import Health
from device_agent.https import Client
from device_agent.journal import Journal
from device_agent.machine import Event, Phase
from device_agent.metadata import Believed, refresh
from device_agent.release import Release
from device_agent.state_folder import StateFolder
from device_agent.store import Store

MAX_APPLY_TRIES: Final = 3  # each ended with the machine: a release may be what ends it


class Outcome(Enum):
    """How a run ended."""

    CURRENT = "nothing new"
    UPDATED = "updated"
    REFUSED = "refused"
    INTERRUPTED = "interrupted"
    ROLLED_BACK = "rolled back"


_OUTCOMES: Final = {  # that nothing is new says nothing of what was ended before
    Event.HEALTHY: Outcome.UPDATED,
    Event.REFUSED: Outcome.REFUSED,
    Event.INTERRUPTED: Outcome.INTERRUPTED,
    Event.RESTORED: Outcome.ROLLED_BACK,
}


@define
class Update:
    """See the module's docstring. `again`: a release that failed here before is tried once more."""

    configuration: Configuration
    state: StateFolder
    slots: Slots
    contents: Contents
    say: Callable[[str], None]
    again: bool = False
    clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)
    outcome: Outcome = field(default=Outcome.CURRENT, init=False)
    _journal: Journal = field(init=False)

    @classmethod
    def of(
        cls, configuration: Configuration, say: Callable[[str], None], *, again: bool = False
    ) -> "Update":
        """Put together what a run needs."""
        state = StateFolder(configuration.state)
        store = Store(state.store)
        contents = Contents(configuration, store)
        return cls(
            configuration,
            state,
            Slots(configuration, store, contents, Health()),
            contents,
            say,
            again,
        )

    def run(self) -> Outcome:
        """Do all of it; return how it ended. AgentError: it could not even be tried."""
        self._journal = journals.load(self.state.journal)
        self._record(Event.RESUMED)
        self._go_on()
        self._keep_running()
        self._record(Event.ASKED)
        self._go_on()
        return self.outcome

    def _go_on(self) -> None:
        steps: dict[Phase, Callable[[], None]] = {
            Phase.REFRESHING: self._refresh,
            Phase.DOWNLOADING: self._download,
            Phase.VERIFIED: self._begin,
            Phase.APPLYING: self._apply,
            Phase.CHECKING: self._check,
            Phase.COMMITTED: self._tidy,
            Phase.ROLLING_BACK: self._roll_back,
            Phase.ROLLED_BACK: self._tidy,
        }
        while self._journal.phase is not Phase.IDLE:
            try:
                steps[self._journal.phase]()
            except RefusedError as error:
                self._record(Event.REFUSED, problem=str(error))
            except (LinkError, StorageError) as error:
                self._record(Event.INTERRUPTED, problem=str(error))

    def _refresh(self) -> None:
        now = self.clock()
        if self._journal.believed_at is not None and now < self._journal.believed_at:
            raise RefusedError(f"the clock says {now:%F %T}, and that was over at the last update")
        believed = refresh(
            self.configuration, self.state.read_root(), self._journal.floors, self.state.metadata
        )
        floors = raised(self._journal.floors, believed.floors)
        known: dict[str, Any] = {"floors": floors, "believed_at": now, "problem": None}
        self._choose(believed, known)

    def _choose(self, believed: Believed, known: dict[str, Any]) -> None:
        """Go for what the fleet names, unless it is here or has failed here."""
        release = believed.release
        failure = self._journal.failed_here(release)
        applied = self._journal.applied
        if applied is not None and applied.fingerprint == release.fingerprint:
            self._record(Event.CURRENT, **known)
        elif failure is not None and not self.again:
            problem = f"{release} failed here before, and is not tried again: {failure.reason}"
            self._record(Event.CURRENT, **{**known, "problem": problem})
        else:
            self._record(Event.NAMED, wanted=release, **known)

    def _download(self) -> None:
        self.say(f"the fleet names {self._wanted}")
        client = Client.of(self.configuration.facade, self.configuration.limits)
        downloads = Downloads(client, self.contents.store, self.configuration.limits)
        self.contents.bring(self._wanted, downloads)
        self._record(Event.ARRIVED)

    def _begin(self) -> None:
        self.slots.name_images(self._wanted, self._journal.applied)
        self._record(Event.BEGUN, tries=0)

    def _apply(self) -> None:
        if self._journal.tries >= MAX_APPLY_TRIES:
            problem = f"{self._wanted} was begun {MAX_APPLY_TRIES} times, and each ended here"
            self._record(Event.EXHAUSTED, problem=problem, tries=0)
            return
        self._note(tries=self._journal.tries + 1)
        try:
            self.slots.hold(self._wanted, anew=True)
        except ApplyError as error:
            self._record(Event.FAILED, problem=str(error), tries=0)
        else:
            self._record(Event.APPLIED)

    def _check(self) -> None:
        try:
            self.slots.expect_health(self._wanted)
        except ApplyError as error:
            self._record(Event.UNHEALTHY, problem=str(error), tries=0)
        else:
            self._record(Event.HEALTHY, applied=self._wanted, wanted=None, problem=None, tries=0)

    def _roll_back(self) -> None:
        """Have every slot hold what it held; tried again by the next runs, and not for ever.

        A device that went on trying could never be brought another release.
        """
        reason = self._journal.problem or "it failed"
        try:
            self.slots.hold_before(self._wanted, self._journal.applied)
        except ApplyError as error:
            if self._journal.tries < MAX_APPLY_TRIES:
                self._note(tries=self._journal.tries + 1)
                raise
            reason = f"{reason}; and what ran before does not run again: {error}"
        failures = self._journal.with_failure(self._wanted, reason)
        self._record(Event.RESTORED, failures=failures, wanted=None, problem=reason, tries=0)

    def _tidy(self) -> None:
        applied = self._journal.applied
        if applied is not None:
            self._tidy_slots(applied)
        kept = self.contents.digests(applied) if applied is not None else ()
        self.contents.store.forget_all_but(kept)
        self._record(Event.TIDIED, tries=0)

    def _tidy_slots(self, applied: Release) -> None:
        """Remove what others have left; tried again by the next runs, and not for ever."""
        try:
            self.slots.tidy(applied)
        except ApplyError as error:
            if self._journal.tries < MAX_APPLY_TRIES:
                self._note(tries=self._journal.tries + 1)
                raise
            self.say(f"something is left over, until the next release is tidied: {error}")

    def _keep_running(self) -> None:
        """Have what is applied run, as after a start of the machine. What fails is said."""
        if self._journal.applied is None:
            return
        try:
            self.slots.hold(self._journal.applied)
        except ApplyError as error:
            self.say(f"what was applied does not run: {error}")

    @property
    def _wanted(self) -> Release:
        if self._journal.wanted is None:
            raise AgentError(f"the journal names no release while {self._journal.phase}")
        return self._journal.wanted

    def _record(self, event: Event, **changed: Any) -> None:
        """Go where the machine says; it is on disk before anything else happens."""
        before, self._journal = self._journal, self._journal.after(event, **changed)
        if self._journal != before:
            journals.save(self.state.journal, self._journal)
        self.outcome = _OUTCOMES.get(event, self.outcome)
        if event in _OUTCOMES or event is Event.CURRENT:
            self.say(self._journal.problem or f"{event}: {self._journal.applied or 'nothing'}")

    def _note(self, **changed: Any) -> None:
        self._journal = evolve(self._journal, **changed)
        journals.save(self.state.journal, self._journal)
