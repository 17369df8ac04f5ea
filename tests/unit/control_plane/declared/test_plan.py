"""Plans: done, they give what the files want; made again, they are empty; nothing else changes."""

from typing import Any

import attrs
import orjson
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.declared.declared_set import DeclaredSet
from control_plane.declared.export_text import export_text, exported
from control_plane.declared.plan import Does, FieldChange, Plan, plan
from control_plane.declared.plan_text import plan_lines
from control_plane.declared.present import PresentConnection
from tests.unit.control_plane.connections.test_credential_fields import ECR_HOST, ROLE
from tests.unit.control_plane.declared.installation import SECRET, Installation
from tests.unit.control_plane.declared.test_declared_set import declared

REFERENCES = st.fixed_dictionaries(
    {"env": st.just("A"), "version": st.sampled_from(["1", "2", "revision-1"])}
)
SCOPE: dict[str, st.SearchStrategy[Any]] = {
    "repositories": st.lists(st.sampled_from(["a/*", "b", "c/**"]), unique=True),
    "fleets": st.lists(st.sampled_from(["x", "no", "1.10"]), unique=True),
    "allowedNetworks": st.lists(st.sampled_from(["10.0.0.0/8", "192.168.0.0/16"]), unique=True),
    "authRealms": st.sampled_from([[], ["https://auth.example/token"]]),
    "description": st.sampled_from(["", "yes", "two: words", "#"]),
    "repositoryPrefix": st.sampled_from(["", "team"]),
}
ENDS = {"credentialExpiresAt": st.just("2030-01-31T12:00:00Z")}
STATIC = st.fixed_dictionaries(
    {
        "host": st.sampled_from(["ghcr.io", "docker.io"]),
        "provider": st.just("static"),
        "username": st.sampled_from(["robot", "null"]),
        "tokenFrom": REFERENCES,
    },
    optional=SCOPE | ENDS | {"plainHttp": st.booleans()},
)
ANONYMOUS = st.fixed_dictionaries(
    {"host": st.sampled_from(["ghcr.io", "docker.io"]), "provider": st.just("static")},
    optional=SCOPE | {"plainHttp": st.booleans()},
)
GOOGLE = st.fixed_dictionaries(
    {
        "host": st.just("gcr.io"),
        "provider": st.just("google_service_account"),
        "serviceAccountKeyFrom": REFERENCES,
    },
    optional=SCOPE | ENDS,
)
ECR = st.fixed_dictionaries(
    {"host": st.just(ECR_HOST), "provider": st.just("aws_ecr"), "roleArn": st.just(ROLE)},
    optional=SCOPE
    | {
        "externalId": st.sampled_from(["", "id-1", "id-2"]),
        "pullThroughCache": st.booleans(),
    },
)


def unique_places(connections: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the first connection of each place, by a name."""
    by_place = {(each["host"], each.get("repositoryPrefix", "")): each for each in connections}
    return {f"c{at}": each for at, each in enumerate(by_place.values())}


FILES = st.builds(
    lambda name, connections: (
        {"connections": unique_places(connections)} | ({"set": name} if name else {})
    ),
    st.sampled_from([None, "one", "two"]),
    st.lists(STATIC | ANONYMOUS | GOOGLE | ECR, max_size=4),
)
TURNS = st.lists(
    st.tuples(FILES, st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=4
)


def wanted_of(files: dict[str, Any]) -> DeclaredSet:
    """Return what files want."""
    return declared(orjson.dumps(files).decode())


@settings(deadline=None, max_examples=60)
@given(TURNS)
def test_a_plan_done_gives_what_is_wanted_and_then_there_is_none(
    turns: list[tuple[dict[str, Any], bool, bool, bool]],
) -> None:
    """Whatever was there before, and whoever approved what of it."""
    there = Installation()
    for files, prune, take_over, approves in turns:
        wanted = wanted_of(files)
        before = there.present()
        todo = plan(wanted, before, prune=prune, take_over=take_over)
        for step in todo.steps:
            there.apply(step)
        again = plan(wanted, there.present(), prune=prune, take_over=take_over)
        assert not again.changes, [*plan_lines(again)]
        assert {each.place for each in again.of(Does.REFUSE)} == {
            each.place for each in todo.of(Does.REFUSE)
        }
        require_the_rest_is_as_it_was(before, there.present(), todo, wanted)
        if approves:
            there.approve_all()
            approved = plan(wanted, there.present(), take_over=take_over)
            assert {step.does for step in approved.steps} <= {Does.NOTHING, Does.REFUSE}
    require_that_an_export_changes_nothing(there.present())


def require_the_rest_is_as_it_was(
    before: list[PresentConnection],
    after: list[PresentConnection],
    todo: Plan,
    wanted: DeclaredSet,
) -> None:
    """What the files do not name is left alone, but for what a set that is pruned has lost."""
    named = {each.place for each in wanted.connections}
    revoked = {(step.host, step.prefix) for step in todo.of(Does.REVOKE)}
    left = {each.place: each for each in after}
    for each in before:
        if each.place in revoked:
            assert each.set_name == wanted.name is not None
            assert each.place not in left
            assert each.place not in named
        elif each.place not in named:
            assert left[each.place] == each


def require_that_an_export_changes_nothing(present: list[PresentConnection]) -> None:
    """As YAML or as JSON; and any reader of YAML reads what was written."""
    value = exported(present)
    text = export_text(value)
    assert SECRET not in text
    assert yaml.safe_load(text) == value
    for form in (text, orjson.dumps(value).decode()):
        assert not plan(declared(form), present).changes


GHCR = "connections: {a: {host: ghcr.io, provider: static, username: robot, %s}}"


def installed(files: str, *, approved: bool = True) -> Installation:
    """Return an installation that has what the files want."""
    there = Installation()
    for step in plan(declared(files), []).steps:
        there.apply(step)
    if approved:
        there.approve_all()
    return there


def only_step(files: str, there: Installation, **options: bool) -> Any:
    """Return the one step of a plan."""
    (step,) = plan(declared(files), there.present(), **options).steps
    return step


def test_a_new_version_is_a_new_secret_and_an_old_one_is_not_asked_for() -> None:
    """Nobody can read the secret back to compare."""
    there = installed(GHCR % "tokenFrom: {env: A, version: 1}")
    assert only_step(GHCR % "tokenFrom: {file: b, version: 1}", there).does is Does.NOTHING
    changed = only_step(GHCR % "tokenFrom: {env: A, version: 2}", there)
    assert (changed.does, changed.fields) == (Does.CHANGE, ())
    assert (changed.secret.before, changed.secret.reference.version) == ("1", "2")


def test_what_decides_who_is_shown_the_secret_needs_it_again() -> None:
    """The scope does not, and the plan says which field it was."""
    there = installed(GHCR % "tokenFrom: {env: A, version: 1}")
    scope = only_step(GHCR % "tokenFrom: {env: A, version: 1}, fleets: [x]", there)
    assert (scope.does, scope.secret) == (Does.CHANGE, None)
    bound = only_step(
        GHCR % "tokenFrom: {env: A, version: 1}, allowedNetworks: [10.0.0.0/8]", there
    )
    assert bound.secret.because == ("allowed_networks",)
    assert "because it is bound to allowedNetworks" in "\n".join(plan_lines(Plan(None, (bound,))))


def test_the_order_of_a_list_means_nothing() -> None:
    """A sorted file is the same file."""
    there = installed(GHCR % "tokenFrom: {env: A, version: 1}, fleets: [a, b]")
    same = only_step(GHCR % "tokenFrom: {env: A, version: 1}, fleets: [b, a]", there)
    assert same.does is Does.NOTHING


def test_a_draft_that_the_files_no_longer_want_is_discarded() -> None:
    """Else somebody could approve what was taken back."""
    files = GHCR % "tokenFrom: {env: A, version: 1}"
    there = installed(files)
    there.apply(only_step(GHCR % "tokenFrom: {env: A, version: 1}, fleets: [x]", there))
    assert only_step(files, there).does is Does.DISCARD
    other = only_step(GHCR % "tokenFrom: {env: A, version: 1}, fleets: [y]", there)
    assert other.fields == (FieldChange("fleets", ["x"], ["y"]),)


def test_a_connection_of_another_set_is_taken_only_over() -> None:
    """Two sets of files would else undo one another's work, run by run."""
    one, two = (f"set: {name}\n{GHCR % 'tokenFrom: {env: A, version: 1}'}" for name in ("a", "b"))
    there = installed(one)
    refused = only_step(two, there)
    assert (refused.does, "--take-over" in refused.why) == (Does.REFUSE, True)
    taken = only_step(two, there, take_over=True)
    assert taken.fields == (FieldChange("set_name", "a", "b"),)
    there.apply(taken)
    assert only_step(two, there).does is Does.WAIT
    assert only_step(one, there).does is Does.DISCARD


def test_prune_ends_what_was_approved_for_this_set_alone() -> None:
    """A draft's set is what a connector wishes, not what an approver saw."""
    there = installed("set: a\nconnections: {x: {host: x.example, provider: static}}")
    there.connect({"host": "y.example", "provider": "static"})
    there.approve_all()
    empty = declared("set: a\nconnections: {}")
    assert [step.host for step in plan(empty, there.present(), prune=True).steps] == ["x.example"]
    assert plan(empty, there.present()).steps == ()
    move = "set: a\nconnections: {y: {host: y.example, provider: static}}"
    there.apply(only_step(move, there))
    assert [step.host for step in plan(empty, there.present(), prune=True).steps] == ["x.example"]
    nameless = declared("connections: {}")
    assert plan(nameless, there.present(), prune=True).steps == ()


@pytest.mark.parametrize("prune", [False, True])
def test_what_is_not_believed_is_neither_changed_nor_pruned(prune: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Only a person can tell what happened to it."""
    lost = PresentConnection("id", "ghcr.io", "", None, None, "its approval is not believed")
    step = plan(declared(GHCR % "tokenFrom: {env: A, version: 1}"), [lost], prune=prune).steps[0]
    assert (step.does, step.why) == (Does.REFUSE, "its approval is not believed")
    assert plan(declared("set: a\nconnections: {}"), [lost], prune=prune).steps == ()


def test_what_is_as_wanted_and_does_not_serve_is_told() -> None:
    """An approval that has expired is no difference to the files, and yet no device is served."""
    there = installed(GHCR % "tokenFrom: {env: A, version: 1}")
    (present,) = there.present()
    expired = attrs.evolve(present, trouble="the approval has expired")
    wanted = declared(GHCR % "tokenFrom: {env: A, version: 1}")
    assert [*plan_lines(plan(wanted, [expired]))] == [
        "  ghcr.io is as wanted",
        "      the approval has expired",
        "",
        "Plan: nothing to do, 1 as wanted.",
    ]


def test_a_thousand_connections_are_planned() -> None:
    """Each once; the second plan says nothing of them but how many there are."""
    lines = "".join(
        f"  c{at}:\n    host: r{at}.example\n    provider: static\n    username: robot\n"
        f"    tokenFrom: {{env: TOKEN_{at}, version: 1}}\n"
        for at in range(1000)
    )
    there = installed(f"set: many\nconnections:\n{lines}")
    again = plan(declared(f"set: many\nconnections:\n{lines}"), there.present(), prune=True)
    assert [*plan_lines(again)] == ["Plan: nothing to do, 1000 as wanted."]


def test_a_plan_reads_down_the_page() -> None:
    """What comes, what changes, what goes; in lists only what is another."""
    there = installed(
        "set: a\nconnections:\n"
        "  a: {host: ghcr.io, provider: static, fleets: [x, y]}\n"
        "  b: {host: old.example, provider: static}\n"
    )
    there.connect({"host": "wide.example", "provider": "static", "repositories": ["a", "b"]})
    there.approve_all()
    files = (
        "set: a\nconnections:\n"
        "  a: {host: ghcr.io, provider: static, fleets: [x, z]}\n"
        "  c: {host: new.example, provider: static, username: robot,"
        " tokenFrom: {file: secret, version: 2026-11}}\n"
        "  d: {host: wide.example, provider: static}\n"
    )
    lines = [*plan_lines(plan(declared(files), there.present(), prune=True))]
    assert lines == [
        "~ ghcr.io will have a draft; what serves goes on serving",
        "    ~ fleets:           2 -> 2",
        "                          - y",
        "                          + z",
        "      fingerprint:      known once the draft is made: it covers by whom and when",
        "",
        "+ new.example will be connected; the draft waits for an approver",
        "    + provider:         static",
        "    + username:         robot",
        "    + set:              a",
        "    + tokenFrom:        version 2026-11, from the file secret",
        "      fingerprint:      known once the draft is made: it covers by whom and when",
        "",
        "~ wide.example will have a draft; what serves goes on serving",
        "    ~ repositories:     2 -> all",
        "                          - a",
        "                          - b",
        "    ~ set:              none -> a",
        "      fingerprint:      known once the draft is made: it covers by whom and when",
        "",
        "- old.example will be revoked, for ever",
        "",
        "Plan: 1 to connect, 2 to change, 1 to revoke.",
    ]
