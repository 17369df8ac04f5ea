"""The file of targets: every wrong field is named, and nothing of it is quoted."""

import base64
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.webhooks.event import CHOSEN_KINDS, EventKind
from control_plane.webhooks.targets_file import (
    MAX_FILE_BYTES,
    MAX_TARGETS,
    TargetsFileError,
    parse_targets,
)

CANARY = b"canary-secret-of-32-bytes-length"
SECRET = f"whsec_{base64.b64encode(CANARY).decode()}"
URL = "https://canary-host.example/canary-path"
TARGET = {"name": "pager", "url": URL, "secrets": [SECRET]}


def file_of(*targets: object) -> bytes:
    """Return a file in JSON, which is YAML."""
    return json.dumps({"targets": targets}).encode()


def problem_of(content: bytes) -> str:
    """Return why a file is refused."""
    with pytest.raises(TargetsFileError) as refused:
        parse_targets(content)
    words = str(refused.value)
    for canary in (CANARY.decode(), SECRET, "canary-path", "canary-host"):
        assert canary not in words
    return words


def test_a_target_in_yaml_has_defaults() -> None:
    """All events, public addresses, TLS."""
    (target,) = parse_targets(
        f"targets:\n  - name: pager  # of whom\n    url: {URL}\n    secrets: [{SECRET}]\n".encode()
    )
    assert (target.name, target.url, target.plain_http) == ("pager", URL, False)
    assert target.events == frozenset(CHOSEN_KINDS)
    assert target.wants(EventKind.GAP)
    assert "canary" not in repr(target)
    assert SECRET not in repr(target)


def test_a_target_may_choose_and_is_told_of_gaps_all_the_same() -> None:
    """Silence would mean two things."""
    (target,) = parse_targets(file_of(TARGET | {"events": ["audit.problem"]}))
    assert target.wants(EventKind.AUDIT_PROBLEM)
    assert target.wants(EventKind.GAP)
    assert not target.wants(EventKind.REVOKED)


@pytest.mark.parametrize(
    "wrong, pointer",
    [
        ({"name": "Pager!"}, "/targets/0/name"),
        ({"url": "http://canary-host.example/canary-path"}, "/targets/0/url"),
        ({"url": "https://user:canary-path@canary-host.example/"}, "/targets/0/url"),
        ({"url": "https://canary-host.example/#canary-path"}, "/targets/0/url"),
        ({"url": "ftp://canary-host.example/canary-path"}, "/targets/0/url"),
        ({"url": "https://:443/canary-path"}, "/targets/0/url"),
        ({"url": "https://canary-host.example/" + "x" * 3000}, "/targets/0/url"),
        ({"url": "https://canary-host.example/canary-path", "plain_http": True}, "/targets/0/url"),
        ({"secrets": []}, "/targets/0/secrets"),
        ({"secrets": [SECRET[:20]]}, "/targets/0/secrets/0"),
        ({"secrets": [SECRET] * 4}, "/targets/0/secrets"),
        ({"secrets": SECRET}, "/targets/0/secrets"),
        ({"events": ["connection.exploded"]}, "/targets/0/events/0"),
        ({"allowed_networks": ["10.0.0.1/8"]}, "/targets/0/allowed_networks/0"),
        ({"ca_certificate": "canary-path"}, "/targets/0/ca_certificate"),
        ({"secret": SECRET}, "/targets/0/secret"),
    ],
)
def test_a_wrong_field_is_named(wrong: dict[str, object], pointer: str) -> None:
    """By its place in the file."""
    assert f"{pointer}: " in problem_of(file_of(TARGET | wrong))


def test_a_file_of_another_form_is_refused() -> None:
    """With the reason."""
    assert "named twice" in problem_of(file_of(TARGET, TARGET))
    assert "1 to 16" in problem_of(file_of())
    many = [TARGET | {"name": f"a{number}"} for number in range(MAX_TARGETS + 1)]
    assert "1 to 16" in problem_of(file_of(*many))
    assert "longer" in problem_of(b" " * (MAX_FILE_BYTES + 1))
    assert "alias" in problem_of(b"targets: &a\n  - *a\n")
    assert "nested" in problem_of(b"[" * 1000)
    assert "more than once" in problem_of(b'{"targets": [], "targets": []}')
    assert "neither YAML nor JSON" in problem_of(b"targets: [\n")
    assert "see line 3" in problem_of(b"targets:\n  - {a: b\n: ]")
    assert "neither YAML nor JSON" in problem_of(b"\xff\xfe\x00")
    assert "targets" in problem_of(b"- 1\n")
    assert "/target: there is no such field" in problem_of(b"target: []\n")


FILES = st.one_of(
    st.binary(max_size=400),
    st.text(max_size=400).map(str.encode),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just(SECRET),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from([*TARGET, "targets", "events", "x"]), inner, max_size=4
            )
        ),
        max_leaves=20,
    ).map(lambda value: json.dumps({"targets": value}).encode()),
    st.text("targes: -&*!|>{}[]#?\n\"'%@`,0123", max_size=120).map(str.encode),
)


@given(FILES)
def test_any_bytes_are_targets_or_refused(content: bytes) -> None:
    """With one kind of error, whatever the library raises."""
    with suppress(TargetsFileError):
        parse_targets(content)
