"""The file of identity profiles: read whole, or refused in words that quote nothing of it."""

from collections.abc import Mapping

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.dev.device_ca import CertificateAuthority
from shared.identity_profile import CertificateField, FieldKind, KeyType
from shared.identity_profiles_file import (
    MAX_FIELDS,
    MAX_PROFILES,
    ProfilesFileError,
    parse_profiles,
)
from tests.support.examples import example
from tests.support.fleet_certificates import MAKERS

CA = CertificateAuthority.create("canary CA")
PEM = CA.pem.decode()
PROFILE: Mapping[str, object] = {
    "name": "line-a",
    "authorities": PEM,
    "fields": {"common_name": "{device}", "organizational_unit": "{fleet}"},
}


def file_of(*profiles: object) -> bytes:
    """Return a file as JSON, which is YAML."""
    return orjson.dumps({"profiles": profiles})


def problem_of(content: bytes) -> str:
    """Return what is said of a wrong file."""
    with pytest.raises(ProfilesFileError) as refused:
        parse_profiles(content)
    assert "canary" not in str(refused.value)
    return str(refused.value)


def test_yaml_as_people_write_it_is_read() -> None:
    """A CA in its lines, comments, and an OID as a name."""
    indented = PEM.replace("\n", "\n      ")
    (found,) = parse_profiles(
        f"""# of whom
profiles:
  - name: line-a
    authorities: |
      {indented}
    fields:
      serial_number: "PID:{{any}} SN:{{device}}"
      other_names:
        1.3.6.1.5.5.7.8.4: "{{any}}:{{any}}"
      extensions:
        1.3.6.1.4.1.99999.7: "{{fleet}}"
    extended_key_usage: may_be_missing
    hardware_key: 2.23.133.11.1.1
    key_types: [p-256, rsa-3072]
""".encode()
    )
    assert found.name == "line-a"
    assert found.authorities == (CA.certificate,)
    assert found.device_field == CertificateField(FieldKind.SERIAL_NUMBER)
    assert CertificateField(FieldKind.OTHER_NAME, "1.3.6.1.5.5.7.8.4") in found.patterns
    assert found.fleet_field == CertificateField(FieldKind.EXTENSION, "1.3.6.1.4.1.99999.7")
    assert found.may_lack_usage
    assert found.hardware_key_oid == "2.23.133.11.1.1"
    assert found.key_types == {KeyType.P_256, KeyType.RSA_3072}


def test_what_is_left_out_is_strict() -> None:
    """The usage is required, any known type of key is allowed, and there is no fleet."""
    (found,) = parse_profiles(file_of({**PROFILE, "fields": {"dns": "{device}"}}))
    assert (found.may_lack_usage, found.hardware_key_oid, found.fleet) == (False, None, None)
    assert found.key_types == frozenset(KeyType)
    assert found.fleet_field is None
    assert not found.says_fleet("line-a")


def test_the_example_of_the_page_is_read() -> None:
    """With a CA in the place of the dots."""
    text = example("docs/devices.md", "# /etc/registry-facade/profiles.yaml").text
    made_up = "      …"
    body = "\n".join(f"      {line}" for line in PEM.strip().splitlines()[1:-1])
    first, second = parse_profiles(text.replace(made_up, body).encode())
    assert (first.name, second.name, second.fleet) == ("line-a", "idevid", "instruments")
    assert second.says_value(MAKERS["idevid"].value)


@pytest.mark.parametrize(
    "change, place",
    [
        ({"name": "Line A"}, "/profiles/0/name"),
        ({"name": "line/a"}, "/profiles/0/name"),
        ({"name": "a" * 33}, "/profiles/0/name"),
        ({"name": 7}, "/profiles/0/name"),
        ({"authorities": "canary"}, "/profiles/0/authorities"),
        ({"authorities": [PEM]}, "/profiles/0/authorities"),
        ({"authorities": PEM * 33}, "/profiles/0/authorities"),
        ({"authorities": PEM[:200]}, "/profiles/0/authorities"),
        ({"fields": {}}, "/profiles/0/fields"),
        ({"fields": ["common_name"]}, "/profiles/0/fields"),
        ({"fields": {"canary": "{device}"}}, "/profiles/0/fields"),
        ({"fields": {"extension": "{device}"}}, "/profiles/0/fields"),
        ({"fields": {"common_name": 7}}, "/profiles/0/fields/common_name"),
        ({"fields": {"common_name": "canary"}}, "/profiles/0/fields: expected {device} once"),
        ({"fields": {"common_name": "{device}", "dns": "{device}"}}, "/profiles/0/fields"),
        ({"fields": {"common_name": "{device}:{device}"}}, "/profiles/0/fields/common_name"),
        ({"fields": {"common_name": "{device}{fleet}"}}, "could be read twice"),
        ({"fields": {"common_name": "{fleet}-{device}"}}, "could be read twice"),
        ({"fields": {"common_name": "{fleet}.{device}"}}, "could be read twice"),
        ({"fields": {"dns": "{fleet}-{device}.example.com"}}, "could be read twice"),
        ({"fields": {"common_name": "canary/{device}"}}, "/profiles/0/fields/common_name"),
        ({"fields": {"common_name": "canary  {device}"}}, "/profiles/0/fields/common_name"),
        ({"fields": {"common_name": "{device}\u00e9"}}, "/profiles/0/fields/common_name"),
        ({"fields": {"common_name": "{serial}"}}, "/profiles/0/fields/common_name"),
        ({"fields": {"common_name": "{device"}}, "/profiles/0/fields/common_name"),
        ({"fields": {"common_name": "x" * 600 + "{device}"}}, "/profiles/0/fields/common_name"),
        ({"fields": {"dns": "{device}.Example.com"}}, "/profiles/0/fields/dns"),
        ({"fields": {"dns": "{device}.example.com."}}, "/profiles/0/fields/dns"),
        ({"fields": {"dns": "*.{device}"}}, "/profiles/0/fields/dns"),
        ({"fields": {"uri": "{device}"}}, "/profiles/0/fields/uri"),
        ({"fields": {"uri": "{device}:canary"}}, "no placeholder in the scheme"),
        ({"fields": {"uri": "spiffe://{any}/{device}"}}, "nor in a SPIFFE trust domain"),
        ({"fields": {"uri": "spiffe://canary.example/"}}, "/profiles/0/fields/uri"),
        ({"fields": {"uri": "spiffe://Canary.example/{device}"}}, "/profiles/0/fields/uri"),
        ({"fields": {"uri": "SPIFFE://canary.example/{device}"}}, "/profiles/0/fields/uri"),
        ({"fields": {"extensions": {"1.2.canary": "{device}"}}}, "/profiles/0/fields"),
        ({"fields": {"extensions": "{device}"}}, "/profiles/0/fields"),
        ({"fields": {"other_name": "{device}"}}, "/profiles/0/fields: expected only uri"),
        ({"fields": {"other_names": "{device}"}}, "expected a mapping of other_names"),
        ({"fields": {"other_names": {"1.2.canary": "{device}"}}}, "object identifier"),
        ({"fields": {"other_names": {"1.2": "{device}/canary"}}}, "/profiles/0/fields/other_name"),
        (
            {"fields": {"extensions": {f"1.3.{n}": "x" for n in range(MAX_FIELDS + 1)}}},
            "/profiles/0/fields",
        ),
        ({"fleet": "canary"}, "or `fleet:` beside them"),
        ({"fleet": "canary\0", "fields": {"dns": "{device}"}}, "/profiles/0/fleet"),
        ({"extended_key_usage": "canary"}, "/profiles/0/extended_key_usage"),
        ({"extended_key_usage": True}, "/profiles/0/extended_key_usage"),
        ({"hardware_key": "canary"}, "/profiles/0/hardware_key"),
        ({"hardware_key": 1.3}, "/profiles/0/hardware_key"),
        ({"hardware_key": "1.3." + "1" * 100}, "/profiles/0/hardware_key"),
        ({"key_types": ["p-256", "canary"]}, "/profiles/0/key_types"),
        ({"key_types": []}, "/profiles/0/key_types"),
        ({"key_types": "p-256"}, "/profiles/0/key_types"),
        ({"canary": 1}, "a field that is not known"),
    ],
)
def test_each_wrong_part_is_named(change: Mapping[str, object], place: str) -> None:
    """A profile that is not what was meant would let somebody in."""
    assert place in problem_of(file_of({**PROFILE, **change}))


@pytest.mark.parametrize(
    "content, why",
    [
        (b"", "expected `profiles:`"),
        (b"[]", "expected `profiles:`"),
        (b'{"profiles": [], "canary": 1}', "expected `profiles:`"),
        (b'{"profiles": []}', "a list of 1 to"),
        (b'{"profiles": {}}', "a list of 1 to"),
        (b'{"profiles": ["canary"]}', "/profiles/0: expected a mapping"),
        (file_of(*[PROFILE] * (MAX_PROFILES + 1)), "a list of 1 to"),
        (file_of(PROFILE, PROFILE), "two of them have one name"),
        (file_of({"name": "line-a"}), "/profiles/0/authorities: it is missing"),
        (b"profiles: &x [*x]", "alias"),
        (b'{"profiles": [' + b'"x",' * 300_000 + b'"x"]}', "longer than"),
    ],
)
def test_a_file_of_another_form_is_refused(content: bytes, why: str) -> None:
    """As a whole: half of the profiles would be others than people think."""
    assert why in problem_of(content)


def test_every_problem_is_told_at_once() -> None:
    """Whoever mends a file wants to mend it once."""
    wrong = problem_of(file_of({**PROFILE, "name": "?"}, {**PROFILE, "key_types": []}))
    assert "/profiles/0/name" in wrong
    assert "/profiles/1/key_types" in wrong


@pytest.mark.parametrize("maker", MAKERS)
def test_a_profile_says_which_values_and_fleets_it_can_name(maker: str) -> None:
    """So that nobody revokes an id, or allows a fleet, that no certificate can bear."""
    made = MAKERS[maker]
    (profile,) = parse_profiles(file_of(made.profile(maker, CA)))
    assert profile.says_value(made.value)
    assert not profile.says_value(f"{made.value}\0")
    assert not profile.says_value(f"{made.value} ")
    assert made.fleet is not None
    assert profile.says_fleet(made.fleet)
    assert not profile.says_fleet(f"{made.fleet} x")


names = st.sampled_from([*PROFILE, "fleet", "key_types", "uri", "dns", "extensions", "x"])
values = st.recursive(
    st.none() | st.integers(-9, 9) | st.text("{device}fltan.:/ ", max_size=20) | st.just(PEM),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=8,
)
contents = st.one_of(
    st.binary(max_size=100),
    values.map(orjson.dumps),
    values.map(lambda value: orjson.dumps({"profiles": [value]})),
    st.dictionaries(names, values, max_size=4).map(lambda value: file_of({**PROFILE, **value})),
    st.text("{device}{fleet}{any}.-:/ ax", max_size=30).map(
        lambda text: file_of({**PROFILE, "fields": {"common_name": text}})
    ),
)


@given(contents)
def test_any_bytes_are_profiles_or_refused(content: bytes) -> None:
    """With one error, in words."""
    try:
        found = parse_profiles(content)
    except ProfilesFileError:
        return
    assert all("device" in each.patterns[each.device_field].placeholders for each in found)
