"""A plan as people read it, like `terraform plan`: what comes, what changes, what goes. Pure.

Nothing of a secret is in a plan, because it is read only when it is given.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256

from control_plane.declared.field_names import PLAIN_FIELDS, file_name_of
from control_plane.declared.plan import Does, FieldChange, Plan, PlannedStep, SecretChange
from shared.connection import Provider
from shared.pem import InvalidPemError, load_certificates

_ORDER: Final = {name: at for at, name in enumerate(PLAIN_FIELDS)}
_EMPTY_LISTS: Final = {
    "repositories": "all",
    "fleets": "all",
    "allowed_networks": "public addresses alone",
    "auth_realms": "the registry's own alone",
}
_INDENT: Final = "      "
_NAME_WIDTH: Final = 18
MARKS: Final = {
    Does.CONNECT: "+",
    Does.CHANGE: "~",
    Does.DISCARD: "~",
    Does.REVOKE: "-",
    Does.REFUSE: "!",
    Does.WAIT: "?",
    Does.NOTHING: " ",
}
_HEADS: Final = {
    Does.CONNECT: "will be connected; the draft waits for an approver",
    Does.CHANGE: "will have a draft",
    Does.DISCARD: "what serves is as wanted; its draft will be discarded",
    Does.REVOKE: "will be revoked, for ever",
    Does.REFUSE: "is left alone",
    Does.WAIT: "is as wanted, and waits for an approver",
    Does.NOTHING: "is as wanted",
}


def plan_lines(plan: Plan) -> Iterator[str]:
    """Yield the plan; of what is as wanted only how many there are, unless it has a problem."""
    for step in plan.steps:
        if step.does is not Does.NOTHING or _trouble(step):
            yield from step_lines(step)
            yield ""
    yield summary(plan)


def step_lines(step: PlannedStep) -> Iterator[str]:
    """Yield what is done about one connection."""
    yield f"{MARKS[step.does]} {step.place} {_HEADS[step.does]}{_beside(step)}"
    for said in filter(None, (step.why, _trouble(step))):
        yield f"{_INDENT}{said}"
    for change in sorted(step.fields, key=_in_the_order_of_files):
        yield from _field_lines(change, is_new=step.does is Does.CONNECT)
    if step.secret is not None and step.wanted is not None:
        yield from _secret_lines(step.secret, str(step.wanted.body["provider"]))
    if step.does in (Does.CONNECT, Does.CHANGE):
        yield _line(" ", "fingerprint", "known once the draft is made: it covers by whom and when")
    if step.fingerprint is not None:
        yield _line(" ", "fingerprint", step.fingerprint)
    if step.does is Does.DISCARD and step.present and step.present.draft:
        draft = step.present.draft
        yield _line(" ", "draft", f"of {draft.made_by}, {draft.made_at}")


def summary(plan: Plan) -> str:
    """Return what there is to do, in one line."""
    counted = {does: len(plan.of(does)) for does in Does}
    todo = [
        f"{counted[does]} to {words}"
        for does, words in (
            (Does.CONNECT, "connect"),
            (Does.CHANGE, "change"),
            (Does.DISCARD, "take back to what serves"),
            (Does.REVOKE, "revoke"),
        )
        if counted[does]
    ]
    beside = [
        f"{counted[does]} {words}"
        for does, words in (
            (Does.NOTHING, "as wanted"),
            (Does.WAIT, "waiting for approval"),
            (Does.REFUSE, "left alone"),
        )
        if counted[does]
    ]
    return f"Plan: {', '.join([*(todo or ['nothing to do']), *beside])}."


def field_texts(value: object) -> list[str]:
    """Return a field's value as people compare it: certificates by their names and hashes."""
    match value:
        case None | "":
            return ["none"]
        case bool():
            return ["yes" if value else "no"]
        case list():
            return [str(each) for each in value] or ["none"]
        case str() if value.startswith("-----BEGIN"):
            return _certificates(value)
        case _:
            return [str(value)]


def _trouble(step: PlannedStep) -> str | None:
    return step.present.trouble if step.present else None


def _beside(step: PlannedStep) -> str:
    """Return what happens to what is there."""
    if step.does is not Does.CHANGE or step.present is None:
        return ""
    draft = step.present.draft
    in_place = f" in place of that of {draft.made_by}, {draft.made_at}" if draft else ""
    serves = "; what serves goes on serving" if step.present.serving else ""
    return f"{in_place}{serves}"


def _field_lines(change: FieldChange, *, is_new: bool) -> Iterator[str]:
    name = file_name_of(change.name)
    before, after = field_texts(change.before), field_texts(change.after)
    if is_new:
        yield _line("+", name, ", ".join(after))
    elif isinstance(change.before, list) or isinstance(change.after, list):
        yield from _list_lines(change)
    else:
        yield _line("~", name, f"{', '.join(before)} -> {', '.join(after)}")


def _list_lines(change: FieldChange) -> Iterator[str]:
    old, new = (each if isinstance(each, list) else [] for each in (change.before, change.after))
    counts = (_counted(change.name, each) for each in (old, new))
    yield _line("~", file_name_of(change.name), " -> ".join(counts))
    for item in _only(old, new):
        yield f"{_INDENT}{'':<{_NAME_WIDTH}}  - {item}"
    for item in _only(new, old):
        yield f"{_INDENT}{'':<{_NAME_WIDTH}}  + {item}"


def _counted(name: str, items: Sequence[object]) -> str:
    """Return how many there are; without any, what that means."""
    return str(len(items)) if items else _EMPTY_LISTS.get(name, "none")


def _in_the_order_of_files(change: FieldChange) -> int:
    return _ORDER.get(change.name, len(_ORDER))


def _only(items: Iterable[object], others: Sequence[object]) -> Iterator[object]:
    return (item for item in items if item not in others)


def _secret_lines(secret: SecretChange, provider: str) -> Iterator[str]:
    name = file_name_of(
        "service_account_key" if provider == Provider.GOOGLE_SERVICE_ACCOUNT else "token"
    )
    version, source = secret.reference.version, secret.reference.source
    if secret.because:
        fields = ", ".join(map(file_name_of, secret.because))
        said = f"version {version}, read again from {source}, because it is bound to {fields}"
    elif secret.before is None:
        said = f"version {version}, from {source}"
    else:
        said = f"version {secret.before} -> {version}, from {source}"
    yield _line("~" if secret.before else "+", name, said)


def _line(mark: str, name: str, value: str) -> str:
    return f"    {mark} {name + ':':<{_NAME_WIDTH}}{value}"


def _certificates(pem: str) -> list[str]:
    try:
        found = load_certificates(pem)
    except InvalidPemError:
        return ["certificates that cannot be read here"]
    return [
        f"{each.subject.rfc4514_string()} (SHA-256 {each.fingerprint(SHA256()).hex()[:16]}…)"
        for each in found
    ]
