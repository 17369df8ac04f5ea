"""Ids of identity profiles: what the facade reads in a certificate can be revoked, and no more."""

from collections.abc import Mapping
from pathlib import Path

import orjson
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from control_plane.device_revocations.device_certificate import parse_device_certificate
from control_plane.device_revocations.fields import parse_device_id
from control_plane.device_revocations.request import parse_revocation_request, read_target
from control_plane.errors import InvalidRequestError
from control_plane.reading.query_reader import QueryReader
from control_plane.serving.config import ServeSettings
from deploy.dev.device_ca import CertificateAuthority
from facade.devices.identification import load_profiles
from shared.environment import ConfigurationError, load
from shared.identity_form import ProfilesForm
from shared.identity_profiles_file import parse_profiles
from tests.support.fleet_certificates import MAKERS

CA, OTHER = CertificateAuthority.create("one CA"), CertificateAuthority.create("another CA")
ELSEWHERE: Mapping[str, object] = {
    "name": "elsewhere",
    "authorities": OTHER.pem.decode(),
    "fields": {"dns": "{device}.example.com"},
    "fleet": "other",
}


def file_of(maker: str, *others: Mapping[str, object]) -> bytes:
    """Return a file of a fleet's profile, and of others."""
    return orjson.dumps({"profiles": [MAKERS[maker].profile(maker, CA), *others]})


@pytest.mark.parametrize("maker", MAKERS)
def test_what_the_facade_reads_can_be_revoked(maker: str) -> None:
    """By the form that is configured, in both numbers of profiles; `profile/value` always."""
    certificate = MAKERS[maker].shape.issue(CA)
    for others in ((), (ELSEWHERE,)):
        content = file_of(maker, *others)
        form = ProfilesForm(parse_profiles(content))
        identity = load_profiles(content).identify(certificate, [CA.certificate])
        asked = parse_revocation_request({"device": identity.id, "reason": ""}, form)
        assert asked.target.device == identity.id
        assert parse_device_id(f"{maker}/{MAKERS[maker].value}")
        assert identity.fleet is not None
        assert form.says_fleet(identity.fleet)
        query = QueryReader({"device": [identity.id]})
        target = read_target(query, form)
        assert target is not None
        assert (target.device, query.errors) == (identity.id, [])
        pem = certificate.public_bytes(Encoding.PEM).decode()
        assert parse_device_certificate(pem, form).devices == (identity.id,)


@pytest.mark.parametrize(
    "device",
    [
        "press-7",
        "foundries/press 7",
        "foundries/",
        "foundries",
        "/press-7",
        "elsewhere/press-7.example.org",
        "elsewhere/Press-7.example.com",
        "unknown/press-7",
        "foundries/press-7\0",
        "spiffe://example.com/fleet/line-a/device/press-7",
    ],
)
def test_what_no_profile_can_read_is_refused(device: str) -> None:
    """It would revoke nobody; the answer says what ids look like."""
    form = ProfilesForm(parse_profiles(file_of("foundries", ELSEWHERE)))
    with pytest.raises(InvalidRequestError) as refused:
        parse_revocation_request({"device": device, "reason": ""}, form)
    assert [each.pointer for each in refused.value.errors] == ["/device"]
    assert str(form) == "foundries/{device} or elsewhere/{device}.example.com"
    assert not form.says_fleet("a fleet of nobody")


@pytest.mark.parametrize("value", ["a b", "a:b", "PID:X SN:Y", "urn:uuid:1", "press-7"])
def test_a_profiles_id_is_taken_where_nobody_said_which_profiles_there_are(value: str) -> None:
    """And without a profile's name only what one kind of name can say, as before."""
    assert parse_device_id(f"line-a/{value}") == f"line-a/{value}"
    if value != "press-7":
        with pytest.raises(ValueError, match="PROFILE/VALUE"):
            parse_device_id(value)


@pytest.mark.parametrize(
    "device", ["line-a/a\nb", "line-a/a  b", "Line/a", "line-a/é", "line-a/ a", "line-a/"]
)
def test_what_no_certificate_of_any_profile_can_say_is_refused(device: str) -> None:
    """Whichever profiles there are."""
    with pytest.raises(ValueError, match="verbatim"):
        parse_device_id(device)


def test_a_list_is_asked_by_what_can_be_revoked() -> None:
    """Without profiles that is what it was: a name with a space is a typing error."""
    profiles = ProfilesForm(parse_profiles(file_of("idevid")))
    for form, is_right in ((None, False), (profiles, True)):
        query = QueryReader({"device": [MAKERS["idevid"].value]})
        read_target(query, form)
        assert (query.errors == []) is is_right


def test_the_file_is_a_setting_and_not_beside_one_kind_for_all(tmp_path: Path) -> None:
    """Every error is told at once, and nothing of the file."""
    good, wrong = tmp_path / "good.yaml", tmp_path / "wrong.yaml"
    good.write_bytes(file_of("spire"))
    wrong.write_bytes(b"profiles: canary")
    variables = {
        "CONTROL_PLANE_DATABASE_URL": "postgresql://localhost/none",
        **{
            f"CONTROL_PLANE_{name}_FILE": str(good)
            for name in ("SEALING_PUBLIC_KEY", "STATEMENT_PRIVATE_KEY", "DEVICE_PROFILES")
        },
    }
    as_charts_say = {**variables, "CONTROL_PLANE_DEVICE_IDENTITY": "spiffe"}
    settings = load(ServeSettings, "CONTROL_PLANE", as_charts_say)
    assert isinstance(settings.identity_form, ProfilesForm)
    assert settings.identity_form.says_device(MAKERS["spire"].value)
    for change, said in (
        ({"CONTROL_PLANE_DEVICE_IDENTITY": "dns"}, "CONTROL_PLANE_DEVICE_PROFILES_FILE: expected"),
        ({"CONTROL_PLANE_DEVICE_PROFILES_FILE": str(wrong)}, "a list of 1 to"),
    ):
        with pytest.raises(ConfigurationError, match=said) as refused:
            load(ServeSettings, "CONTROL_PLANE", {**variables, **change})
        assert "canary" not in str(refused.value)
