"""Acts of a connection's history in words."""

import pytest

from control_plane.console.history_shown import ShownChange, shown_act
from control_plane.proof.actions import SEND_BACK, Action
from deploy.dev.device_ca import CertificateAuthority


def view(action: str, **fields: object) -> dict[str, object]:
    """Return an act as the API has it."""
    return {
        "sequence": 7,
        "at": "2026-11-29T12:00:00.000Z",
        "actor": "alice",
        "action": action,
        "details": {},
        "changes": [],
        "problem": None,
        **fields,
    }


@pytest.mark.parametrize("action", [*Action, SEND_BACK, "connection.describe"])
def test_each_act_has_words(action: str) -> None:
    """No code of the log is shown to people."""
    act = shown_act(view(action))
    assert (act.who, act.problem) == ("alice", None)
    assert act.what
    assert "." not in act.what


def test_a_person_is_named_as_people_call_them() -> None:
    """Their identity is for the log."""
    details = {"actor_name": "Alice", "comment": "which line?"}
    act = shown_act(view(SEND_BACK, actor="oidc:x:1", details=details))
    assert (act.who, act.said) == ("Alice", "which line?")


def test_an_act_that_is_not_believed_says_why_and_nothing_else() -> None:
    """It has two fields of ten."""
    act = shown_act({"sequence": 7, "problem": "not believed: forged"})
    assert (act.who, act.at, act.changes) == ("", None, ())
    assert act.problem == "not believed: forged"


CA = CertificateAuthority.create("Company CA").pem.decode()


@pytest.mark.parametrize(
    "change, shown",
    [
        (
            {"field": "fleets", "before": [], "after": ["a", "b"]},
            [ShownChange("Fleets", ("all",), ("a", "b"))],
        ),
        (
            {"field": "plain_http", "before": False, "after": True},
            [ShownChange("Encryption", ("TLS",), ("none: plain HTTP",))],
        ),
        (
            {"field": "referrers", "before": False, "after": True},
            [
                ShownChange(
                    "Referrers",
                    ("not listed",),
                    ("listed by digest: signatures, SBOMs, attestations",),
                )
            ],
        ),
        (
            {"field": "description", "after": "hall 3"},
            [ShownChange("Description", ("none",), ("hall 3",))],
        ),
        (
            {
                "field": "ecr",
                "before": {"role_arn": "a", "region": "x"},
                "after": {"role_arn": "b", "region": "x", "pull_through_cache": True},
            },
            [
                ShownChange("Role", ("a",), ("b",)),
                ShownChange(
                    "Pull through cache", ("off",), ("on: the role may make repositories",)
                ),
            ],
        ),
        (
            {"field": "of_a_later_version", "before": None, "after": 5},
            [ShownChange("of_a_later_version", ("none",), ("5",))],
        ),
    ],
)
def test_a_change_is_told_as_a_review_tells_it(
    change: dict[str, object], shown: list[ShownChange]
) -> None:
    """With the review's labels; what has none keeps its name."""
    assert [*shown_act(view(Action.DRAFT, changes=[change])).changes] == shown


def test_a_certificate_is_never_shown_as_pem() -> None:
    """A name, an end and a digest are what people compare."""
    change = {"field": "ca_certificate", "before": None, "after": CA}
    (shown,) = shown_act(view(Action.DRAFT, changes=[change])).changes
    assert shown.before == ("the system's authorities alone",)
    assert shown.after[0].startswith("CN=Company CA, until 20")
