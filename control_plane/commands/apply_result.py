"""The result of an `apply`: JSON for programs, and warnings for people. Pure."""

from collections.abc import Sequence

from control_plane.commands.api_client import Json
from control_plane.commands.applying import Outcome
from control_plane.commands.check_words import NOT_ASKED, why_not_told
from control_plane.declared.plan import Does, Plan, PlannedStep
from shared.upstream.check import CheckOutcome


def warnings_of(outcome: Outcome) -> list[str]:
    """Return what was not checked of a draft that was made, and what a facade will refuse."""
    view = outcome.view
    if view is None or outcome.step.does not in (Does.CONNECT, Does.CHANGE):
        return []
    made, found = view["draft"] or view, list[str]()
    check = made["check"]
    if check["outcome"] == CheckOutcome.SKIPPED and check["problem"] != NOT_ASKED:
        found.append(why_not_told(view["host"], check["problem"], plain_http=made["plain_http"]))
    return [*found, *(f"{view['host']}: {note}" for note in made.get("notes", ()))]


def result_of(plan_: Plan, outcomes: Sequence[Outcome], *, dry_run: bool) -> Json:
    """Return a plan, and what became of it, as JSON for programs."""
    ended = {id(each.step): each for each in outcomes}
    return {
        "set": plan_.set_name,
        "dry_run": dry_run,
        "connections": [_step_result(step, ended.get(id(step))) for step in plan_.steps],
    }


def _step_result(step: PlannedStep, outcome: Outcome | None) -> Json:
    secret = step.secret
    return {
        "name": step.wanted.name if step.wanted else None,
        "host": step.host,
        "repository_prefix": step.prefix,
        "id": outcome.view["id"] if outcome and outcome.view else _id_of(step),
        "action": step.does.name.lower(),
        "why": step.why or None,
        "fields": {each.name: {"before": each.before, "after": each.after} for each in step.fields},
        "secret_version": {"before": secret.before, "after": secret.reference.version}
        if secret
        else None,
        "fingerprint": (outcome.fingerprint if outcome else None) or step.fingerprint,
        "outcome": outcome.ended.value if outcome else None,
        "detail": outcome.words if outcome else None,
        "stands_out": list(outcome.stands_out) if outcome else [],
    }


def _id_of(step: PlannedStep) -> str | None:
    return step.present.id if step.present else None
