"""A connection as an approver reads it: fields in groups, and what a draft changes. Pure.

Lines fit no particular width: nothing is cut, each value has a line, and there is no JSON or PEM.
"""

from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Final

from control_plane.commands.answers import ConnectionAnswer, RecordedCheckAnswer, TermsAnswer
from control_plane.commands.check_words import reason_of
from control_plane.commands.columns import one_line
from control_plane.commands.connection_list import called, identity_of, is_served, place_of
from control_plane.review.certificates import certificate_lines
from control_plane.review.document_lines import REFERRERS
from shared.connection import Provider

KEPT, GONE, NEW = "  ", "- ", "+ "
_LABEL_WIDTH: Final = 20

_GRANTED: Final = frozenset({Provider.GOOGLE_SERVICE_ACCOUNT, Provider.AWS_ECR})

Values = Sequence[str]
Groups = Mapping[str, Mapping[str, Values]]


def connection_lines(view: ConnectionAnswer) -> Iterator[str]:
    """Yield everything that is known of a connection; of a draft beside it, what it changes."""
    yield state_line(view)
    yield ""
    yield from _group_lines({"Connection": _connection(view), **_groups(view)})
    if view["draft"]:
        yield ""
        yield from draft_lines(view)


def draft_lines(view: ConnectionAnswer) -> Iterator[str]:
    """Yield what waits for an approver, compared with what serves: `-` goes, `+` is new."""
    draft, serving = view["draft"], _groups(view)
    if draft is None:
        yield from connection_lines(view)
        return
    yield f"Draft of {place_of(view)}; {called(view, draft['by'])} made it at {draft['at']}"
    yield "  - is what serves and would go, + is what would come"
    yield ""
    yield from _group_lines(_groups(draft), serving)
    yield from _group_lines({"Draft": {"fingerprint": [draft["fingerprint"]]}})


def sent_back_of(view: ConnectionAnswer) -> str | None:
    """Return who sent back the draft that waits, and why, in words; None if nobody did."""
    back = (view["draft"] or view).get("sent_back")
    return (
        one_line(f"sent back by {called(view, back['by'])} at {back['at']}: {back['comment']}")
        if back
        else None
    )


def state_line(view: ConnectionAnswer) -> str:
    """Return what the connection is now, in a sentence."""
    return one_line(f"{place_of(view)} {_state(view)}")


def next_steps(view: ConnectionAnswer) -> Iterator[str]:
    """Yield what can be done next, with the commands for it."""
    name = place_of(view)
    command = f"control-plane connections {{}} {name}"
    if view["status"] == "revoked":
        prefix = f" --prefix {view['repository_prefix']}" if view["repository_prefix"] else ""
        yield f"It can be connected again: control-plane connections add {view['host']}{prefix}"
    elif view["status"] == "pending" and view["provider"] is None:
        yield "Nothing of it is believed. Unless a key is missing that signed it, end it:"
        yield f"  {command.format('revoke')}"
    elif view["draft"] or view["status"] == "pending":
        draft = view["draft"] or view
        seen = draft["fingerprint"]
        if draft["provider"] in _GRANTED:
            yield f"What to grant for it: {command.format('grant')}"
        yield f"What an approver looks at: {command.format('review')}"
        if sent_back_of(view):
            yield f"An edit answers what was said to it: {command.format('edit')}"
        else:
            yield "An approver lets it serve:"
            yield f"  {command.format('approve')} --fingerprint {seen}"
        yield f"Or nobody does: {command.format('discard')}"
    elif view["problem"]:
        yield f"An approver may renew it: {command.format('approve')} --expires 90d"
        yield f"Or end it: {command.format('revoke')}"
    else:
        yield f"Where a facade runs, `facade check {view['host']}` tries it."


def _state(view: ConnectionAnswer) -> str:
    made = f"{called(view, view['connected_by'])} made it at {view['connected_at']}"
    match view["status"]:
        case "pending" if view["provider"] is None:
            return f"does not serve: {view['problem']}"
        case "pending":
            back = sent_back_of(view)
            state = f"was {back}; {made}" if back else f"waits for an approver; {made}"
        case "revoked" if view["generation"] is None:  # nothing was ever signed about it
            by = f"{called(view, view['revoked_by'])} at {view['revoked_at']}"
            state = f"was never approved, and its draft is discarded; by {by}"
        case "revoked":
            by = f"{called(view, view['revoked_by'])} at {view['revoked_at']}"
            state = f"is revoked, for ever; by {by}"
        case _:
            until = f"until {view['expires_at']}" if view["expires_at"] else "without an end"
            serves = "serves" if is_served(view) else f"does not serve: {view['problem']}"
            by = f"{called(view, view['approved_by'])} at {view['approved_at']}"
            state = f"{serves}; approved by {by}, {until}"
            if view["draft"]:
                state += f"; a draft of {called(view, view['draft']['by'])} waits"
                back = sent_back_of(view)
                state += f", {back}" if back else ""
    is_said = view["status"] == "approved" and not is_served(view)
    return f"{state}; problem: {view['problem']}" if view["problem"] and not is_said else state


def _connection(view: ConnectionAnswer) -> dict[str, Values]:
    fields = {
        "id": view["id"],
        "registry": place_of(view),
        "description": view["description"],
        "set of files": view.get("set_name"),
        "made": f"{view['connected_at']} by {called(view, view['connected_by'])}",
        "approved": view["approved_at"]
        and f"{view['approved_at']} by {called(view, view['approved_by'])}",
        "ends": view["expires_at"],
        "generation": view["generation"],
        "fingerprint": view["fingerprint"],
    }
    return {name: [str(value)] for name, value in fields.items() if value}


def _groups(view: TermsAnswer) -> dict[str, dict[str, Values]]:
    """Return what is approved in a view or a draft, in groups; empty without a document."""
    if view["provider"] is None:
        return {}
    return {
        "Login": _login(view),
        "Network": {
            "TLS": ["none: plain HTTP" if view["plain_http"] else "required"],
            "certificates": certificate_lines(view["ca_certificate"]),
            "networks": view["allowed_networks"] or ["public addresses alone"],
            "token endpoints": view["auth_realms"] or ["the registry's own alone"],
            **({"note": view["notes"]} if view.get("notes") else {}),
        },
        "Scope": {
            "repositories": view["repositories"] or ["all"],
            "fleets": view["fleets"] or ["all"],
            "referrers": [REFERRERS[view["referrers"]]],
        },
        "Check": {"login": [_check(view["check"])]},
    }


def _login(view: TermsAnswer) -> dict[str, Values]:
    version = view["secret_version"]
    login: dict[str, Values] = {
        "provider": [str(view["provider"])],
        "as": [identity_of(view) or "nobody"],
        "secret": [
            "none"
            if version is None
            else f"version {version}, sealed to the key {view.get('sealing_key_id')}"
        ],
        **({"called": [label]} if (label := view.get("secret_label")) else {}),
        **({"secret ends": [ends]} if (ends := view.get("credential_expires_at")) else {}),
    }
    if view["google"]:
        login["project"] = [view["google"]["project_id"]]
    if ecr := view["ecr"]:
        login["region"] = [ecr["region"]]
        login["external id"] = [ecr["external_id"] or "none"]
        if ecr.get("pull_through_cache"):
            login["pull_through_cache"] = ["yes: the role may make repositories"]
    return login


def _check(check: RecordedCheckAnswer) -> str:
    return f"not tried: {reason_of(check['problem'])}" if check["problem"] else check["outcome"]


def _group_lines(groups: Groups, before: Groups | None = None) -> Iterator[str]:
    for title, fields in groups.items():
        yield title
        present = fields if before is None else before.get(title, {})
        for name in dict.fromkeys((*fields, *present)):
            lines = difference(present.get(name, []), fields.get(name, []))
            for at, (mark, value) in enumerate(lines):
                label = name if at == 0 else ""
                yield f"  {mark}{label:<{_LABEL_WIDTH}}{one_line(value)}".rstrip()


def difference(before: Values, after: Values) -> Iterator[tuple[str, str]]:
    """Yield the values of both in order, each with whether it stays, goes or is new."""
    matcher = SequenceMatcher(a=before, b=after, autojunk=False)
    for tag, a_from, a_to, b_from, b_to in matcher.get_opcodes():
        if tag == "equal":
            yield from ((KEPT, value) for value in after[b_from:b_to])
        else:
            yield from ((GONE, value) for value in before[a_from:a_to])
            yield from ((NEW, value) for value in after[b_from:b_to])
