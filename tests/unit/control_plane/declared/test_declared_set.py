"""What files want: every wrong field by its file's name and line, no secret, the whole of each."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped] # it has no stubs of its own

from control_plane.declared.declared_set import DeclaredSet, declared_set
from control_plane.declared.field_names import PLAIN_FIELDS
from control_plane.declared.file_problems import ValueWay, WrongFilesError
from control_plane.declared.file_schema import file_schema
from control_plane.declared.layers import layer_of, overlaid
from control_plane.declared.secret_reference import (
    CommandSource,
    FileSource,
    SecretReference,
    VariableSource,
)
from control_plane.declared.source_files import read_source
from tests.unit.control_plane.connections.test_credential_fields import ECR_HOST, ROLE

CANARY = "canary-in-a-file"
NO_FILES = "there is no such file"


def no_file(_way: ValueWay, _path: str) -> str:
    """Stand for a folder without files."""
    raise ValueError(NO_FILES)


def declared(*texts: str) -> DeclaredSet:
    """Return what files of these texts want, each laid over those before it."""
    layers = [
        layer_of(f"{at}.yaml", read_source(f"{at}.yaml", text.encode()))
        for at, text in enumerate(texts)
    ]
    return declared_set(overlaid(layers), no_file)


def refused(*texts: str) -> list[str]:
    """Return what is wrong with the files."""
    with pytest.raises(WrongFilesError) as error:
        declared(*texts)
    assert CANARY not in str(error.value)
    return [str(each) for each in error.value.problems]


def one(fields: str) -> str:
    """Return a file of one connection."""
    return f"connections: {{a: {{host: ghcr.io, provider: static, {fields}}}}}"


def test_a_connection_has_every_field_that_a_request_has() -> None:
    """What the files leave out is its default, so that nothing is left as somebody made it."""
    (connection,) = declared(one("description: no")).connections
    assert connection.place == ("ghcr.io", "")
    assert connection.body == {
        "provider": "static",
        "repositories": [],
        "fleets": [],
        "auth_realms": [],
        "plain_http": False,
        "allowed_networks": [],
        "ca_certificate": None,
        "referrers": False,
        "description": "no",
        "credential_expires_at": None,
    }


@pytest.mark.parametrize(
    "reference, source",
    [
        ("{env: TOKEN, version: 7}", VariableSource("TOKEN")),
        ("{file: a/b, version: 7}", FileSource("a/b")),
        ("{command: [vault, read], version: 7}", CommandSource(("vault", "read"))),
    ],
)
def test_a_secret_is_a_reference_with_a_version(reference: str, source: Any) -> None:
    """In JSON the version may be a number, as editors think it is in YAML."""
    (connection,) = declared(one(f"username: robot, tokenFrom: {reference}")).connections
    assert connection.secret == SecretReference(source, "7")


def test_json_has_its_numbers() -> None:
    """A version of 7 is the text 7; a fleet of 7 is a mistake."""
    as_json = (
        '{"connections": {"a": {"host": "ghcr.io", "provider": "static", "username": "r",'
        ' "tokenFrom": {"env": "A", "version": 7}, "fleets": [7]}}}'
    )
    assert refused(as_json) == ["0.yaml: /connections/a/fleets/0: expected a text"]


@pytest.mark.parametrize(
    "fields, problem",
    [
        (f"token: {CANARY}", "/connections/a/token: a secret never stands in a file"),
        (f"tokenFrom: {CANARY}, username: r", "tokenFrom: expected one of env, file, command"),
        ("username: r", "/connections/a/tokenFrom: this field is required"),
        ("tokenFrom: {env: A, version: 1}", "tokenFrom: a token needs its username"),
        ("username: r, tokenFrom: {env: A}", "tokenFrom/version: needed"),
        ("username: r, tokenFrom: {version: a}", "tokenFrom: give one of env, file, command"),
        ("username: r, tokenFrom: {env: A, file: b, version: 1}", "give one of env, file, command"),
        ("username: r, tokenFrom: {env: 1A, version: 1}", "tokenFrom/env: expected the name"),
        ("username: r, tokenFrom: {env: CONTROL_PLANE_TOKEN, version: 1}", "this program's own"),
        ("username: r, tokenFrom: {command: rm, version: 1}", "tokenFrom/command: expected a list"),
        ("username: r, tokenFrom: {env: A, version: 1, x: 1}", "tokenFrom/x: there is no such"),
        ("serviceAccountKeyFrom: {env: A, version: 1}", "this provider has no such field"),
        ("plainHttp: yes", "plainHttp: expected true or false (yes, no, on and off are texts"),
        ("plain_http: true", "/connections/a/plain_http: there is no such field"),
        ("allowedNetworks: [10.0.0.1/8]", "/connections/a/allowedNetworks/0: expected a network"),
        ("caCertificateFrom: {file: ca.pem}", f"caCertificateFrom/file: {NO_FILES}"),
        ("caCertificateFrom: ca.pem", "caCertificateFrom: expected {file: PATH}"),
        ("roleArn: x", "/connections/a/roleArn: the provider static has no such field"),
    ],
)
def test_a_wrong_field_is_named_as_the_file_spells_it(fields: str, problem: str) -> None:
    """With the line, and without its value."""
    found = refused(one(fields))
    assert any(problem in each and each.startswith("0.yaml:1: ") for each in found), found


def test_everything_that_is_wrong_is_named_at_once() -> None:
    """Each with the line of its own file."""
    base = "connections:\n  a:\n    host: '*'\n    provider: static\n  '!': {}\nsett: x"
    found = refused(base, "set: .a\nconnections:\n  a:\n    fleets: no")
    assert [each.split(": ")[:2] for each in found] == [
        ["0.yaml:6", "/sett"],
        ["1.yaml:1", "/set"],
        ["0.yaml:3", "/connections/a/host"],
        ["1.yaml:4", "/connections/a/fleets"],
        ["0.yaml:5", "/connections/!"],
    ]


@pytest.mark.parametrize("provider", ["", "provider: harbor, "])
def test_without_a_known_provider_no_secret_is_called_wrong(provider: str) -> None:
    """Which secret is needed depends on the provider, so only the provider is wrong."""
    reference = "tokenFrom: {env: A, version: 1}"
    found = refused(f"connections: {{a: {{host: ghcr.io, {provider}username: r, {reference}}}}}")
    assert [each.split(": ")[1] for each in found] == ["/connections/a/provider"]


def test_two_names_cannot_have_one_place() -> None:
    """However the host is spelled; the later one would win silently."""
    one = "{host: docker.io, provider: static}"
    two = f"connections: {{a: {one}, b: {one.replace('docker.io', 'hub.docker.com')}}}"
    assert refused(two) == [
        "0.yaml:1: /connections/b/host: the connection a has this host and prefix too"
    ]


def test_a_file_without_connections_is_refused() -> None:
    """With --prune an empty file would end the whole set; `connections: {}` says so on purpose."""
    assert "connections is needed" in refused("set: a")[0]
    assert declared("set: a\nconnections: {}") == DeclaredSet("a", ())


def test_an_overlay_takes_a_connection_away_with_null() -> None:
    """And moves another to its own registry."""
    base = one("fleets: [x]").replace("}}}", "}, b: {host: b.example, provider: static}}")
    found = declared(base, "connections: {a: {host: registry.example, fleets: null}, b: null}")
    assert [(each.name, each.host, each.body["fleets"]) for each in found.connections] == [
        ("a", "registry.example", [])
    ]


def test_an_external_id_is_said_or_stays_or_is_none() -> None:
    """Not there: the control plane makes it up, so it is nothing to compare."""
    ecr = f"connections: {{a: {{host: {ECR_HOST}, provider: aws_ecr, roleArn: '{ROLE}'%s}}}}"
    (unsaid,) = declared(ecr % "").connections
    assert "external_id" not in unsaid.body
    (none,) = declared(ecr % ", externalId: ''").connections
    assert none.body["external_id"] is None
    (said,) = declared(ecr % ", externalId: id-1").connections
    assert said.body["external_id"] == "id-1"


NAMES = [*PLAIN_FIELDS.values(), "tokenFrom", "serviceAccountKeyFrom", "token", "x"]
LEAVES = st.none() | st.booleans() | st.integers(0, 9) | st.text(max_size=5)
FIELDS = st.dictionaries(
    st.sampled_from(NAMES),
    LEAVES
    | st.lists(LEAVES, max_size=3)
    | st.dictionaries(st.sampled_from(["env", "file", "command", "version", "x"]), LEAVES),
)
FILES = st.dictionaries(
    st.sampled_from(["set", "connections", "$schema", "x"]),
    LEAVES | st.dictionaries(st.sampled_from(["a", "b", "!"]), FIELDS | LEAVES),
)


@given(FILES)
def test_any_value_is_a_set_or_names_what_is_wrong(value: dict[str, Any]) -> None:
    """One error; and what is read is what the schema allows."""
    document = read_source("a.json", b"{}")[0]
    document.places.clear()
    layer = overlaid([layer_of("a", [type(document)(value, {(): None})])])  # type: ignore[dict-item] # no problem of these needs it
    try:
        declared_set(layer, no_file)
    except WrongFilesError:
        return
    Draft202012Validator(file_schema()).validate(layer.value)


def test_every_field_is_described_and_the_schema_is_one() -> None:
    """An editor shows the words where the field is typed."""
    for overlay in (False, True):
        schema = file_schema(overlay=overlay)
        Draft202012Validator.check_schema(schema)
        for definition in schema["$defs"].values():
            for name, each in definition["properties"].items():
                options = each.get("anyOf", [each])
                assert any("description" in option or "$ref" in option for option in options), name


def test_the_schema_takes_what_an_overlay_may_say_and_no_more() -> None:
    """Null takes away, nothing is required, and no field is unknown."""
    whole, overlay = (Draft202012Validator(file_schema(overlay=each)) for each in (False, True))
    patch = {"connections": {"a": {"fleets": None, "tokenFrom": {"version": "2"}}}}
    assert overlay.is_valid(patch)
    assert not whole.is_valid(patch)
    assert not overlay.is_valid({"connections": {"a": {"token": CANARY}}})
