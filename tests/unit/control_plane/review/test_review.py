"""A review shows everything that is approved, and hides no difference."""

import typing
from collections.abc import Iterator

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.connections.revision import RevisionLabels
from control_plane.review.document_lines import LINES, leaves_of, lines_of
from control_plane.review.review import DocumentReview, LineChange, review_of
from shared.connection import (
    Anonymous,
    ConnectionDocument,
    Credential,
    EcrRole,
    GoogleServiceAccount,
    UsernameAndToken,
)
from tests.unit.control_plane.review.documents import AT, ROLE, SECRET, document, review, terms
from tests.unit.shared.strategies import connection_documents


def changes(found: DocumentReview) -> dict[str, LineChange]:
    """Return what becomes of each line, by its name."""
    return {each.line.name: each.change for each in found.lines}


def shown(found: DocumentReview, name: str) -> tuple[tuple[str, ...] | None, ...]:
    """Return a line's words, before and after."""
    ((before, after),) = [
        (each.before, each.after) for each in found.lines if each.line.name == name
    ]
    return before, after


@st.composite
def near_pairs(draw: st.DrawFn) -> tuple[ConnectionDocument, ConnectionDocument]:
    """Draw two documents that differ in one field at most; two at random differ in nearly all."""
    one, other = draw(connection_documents), draw(connection_documents)
    name = draw(st.sampled_from([field.name for field in attrs.fields(ConnectionDocument)]))
    return one, attrs.evolve(one, **{name: getattr(other, name)})


@given(st.one_of(near_pairs(), st.tuples(connection_documents, connection_documents)))
def test_no_difference_goes_unseen(pair: tuple[ConnectionDocument, ConnectionDocument]) -> None:
    """Whichever bytes differ, some line says so; and none does if no byte differs."""
    serving, draft = pair
    found = review(draft, serving)
    differs = any(change is not LineChange.SAME for change in changes(found).values())
    assert differs == (draft.to_bytes() != serving.to_bytes())


@given(connection_documents)
def test_the_first_review_shows_each_line_as_new(made: ConnectionDocument) -> None:
    """Nothing of what is approved for the first time was seen before."""
    found = review(made)
    assert set(changes(found).values()) == {LineChange.NEW}
    assert all(each.before is None and each.after for each in found.lines)
    assert all(each.is_new for each in found.highlights)


def fields_of(kind: type) -> Iterator[str]:
    """Give the paths of a class's fields, and of those of its records within."""
    hints = typing.get_type_hints(kind)
    for field in attrs.fields(kind):
        inner = [
            each
            for each in (hints[field.name], *typing.get_args(hints[field.name]))
            if attrs.has(each) and each.__module__ == "shared.connection"
        ]
        paths = [f"{field.name}.{path}" for each in inner for path in fields_of(each)]
        yield from paths or [field.name]


def test_every_field_of_a_document_has_a_line() -> None:
    """Whoever adds a field says where an approver reads it, and in which words."""
    fields = set(fields_of(ConnectionDocument)) | set(fields_of(RevisionLabels))
    fields.add("credential.kind")
    for kind in typing.get_args(Credential):
        fields |= {f"credential.{field.name}" for field in attrs.fields(kind)}
    assert {"secret.sha256", "credential.role_arn", "ca_certificate"} <= fields
    shown_leaves = [leaf for line in LINES for leaf in line.leaves]
    assert sorted(shown_leaves) == sorted(fields)


@given(connection_documents)
def test_every_byte_of_a_document_has_a_line(made: ConnectionDocument) -> None:
    """What is hashed and signed is what is shown."""
    known = {leaf for line in LINES for leaf in line.leaves}
    assert leaves_of(terms(made)).keys() <= known
    assert tuple(lines_of(terms(made))) == LINES


@attrs.frozen
class LaterDocument(ConnectionDocument):
    """A document of a later version, that nobody gave a line."""

    max_bytes: int = 0


def test_a_field_without_a_line_is_shown_all_the_same() -> None:
    """As the JSON has it."""
    known = attrs.asdict(document(), recurse=False)
    one, other = LaterDocument(**known), LaterDocument(**known, max_bytes=5)
    found = review(other, one)
    assert changes(found)["max_bytes"] is LineChange.NEW
    assert shown(found, "max_bytes") == (None, ("5",))


def test_lines_come_in_the_order_of_reading() -> None:
    """Where, as whom, how, what, and who wants it."""
    sections = [each.line.section.value for each in review(document()).lines]
    assert list(dict.fromkeys(sections)) == ["registry", "login", "network", "scope", "made"]
    assert sections == sorted(sections, key=list(dict.fromkeys(sections)).index)


def test_an_edit_of_the_scope_is_seen_side_by_side() -> None:
    """And the rest is the same."""
    before, after = document(), document(repositories=("team/app", "team/b*"), fleets=())
    found = review(after, before)
    assert {name for name, each in changes(found).items() if each is not LineChange.SAME} == {
        "repositories",
        "fleets",
    }
    assert shown(found, "repositories") == (("team/app",), ("team/app", "team/b*"))
    assert shown(found, "fleets") == (("line-a",), ("all",))
    assert found.changed_terms == 2


def test_another_kind_of_login_removes_lines_and_brings_others() -> None:
    """A user name is not changed into a role."""
    found = review(document(credential=ROLE), document())
    became = changes(found)
    assert became["login"] is LineChange.CHANGED
    assert became["username"] is became["secret"] is became["sealing"] is LineChange.REMOVED
    assert (
        became["role_arn"]
        is became["external_id"]
        is became["pull_through_cache"]
        is LineChange.NEW
    )
    assert "client_email" not in became


@pytest.mark.parametrize(
    "secret, words",
    [
        (SECRET, "as before (version 1)"),
        (attrs.evolve(SECRET, version=2, sha256="cd" * 32), "replaced (version 2)"),
        (
            attrs.evolve(SECRET, key_id="f" * 16, sha256="cd" * 32),
            "as before, sealed again (version 1)",
        ),
    ],
)
def test_a_secret_is_told_as_replaced_or_as_before(secret: typing.Any, words: str) -> None:
    """Nothing else of it is shown."""
    found = review(document(secret=secret), document())
    assert shown(found, "secret") == (("version 1",), (words,))
    assert shown(review(document()), "secret") == (None, ("new (version 1)",))
    assert SECRET.sha256 not in repr([(each.before, each.after) for each in found.lines])


@pytest.mark.parametrize(
    "credential", [Anonymous(), UsernameAndToken("r"), GoogleServiceAccount("e", "p"), ROLE]
)
def test_every_kind_of_login_is_named(credential: Credential) -> None:
    """An approver reads first how it logs in at all."""
    (words,) = shown(review(document(credential=credential)), "login")[1] or ()
    assert words
    assert isinstance(credential, EcrRole) == ("AWS" in words)


@given(*[st.none() | st.text(min_size=1, max_size=3)] * 4)
def test_labels_are_approved_as_all_else_is(
    set_before: str | None, set_after: str | None, label_before: str | None, label_after: str | None
) -> None:
    """A set of files can end its connections, though no document names it."""
    before = terms(document(), set_name=set_before, secret_label=label_before)
    after = terms(document(), set_name=set_after, secret_label=label_after)
    found = review_of(after, before, AT)
    became = changes(found)
    assert (became.get("set_name", LineChange.SAME) is LineChange.SAME) == (set_before == set_after)
    assert (became.get("secret_label", LineChange.SAME) is LineChange.SAME) == (
        label_before == label_after
    )
    assert found.changed_terms == (set_before != set_after) + (label_before != label_after)
