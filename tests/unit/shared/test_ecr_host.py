"""What a private ECR registry's host says, and which roles agree with it."""

import contextlib

import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.ecr_host import EcrHost, InvalidEcrHostError, InvalidRoleArnError, is_external_id
from shared.registry_host import RegistryHost
from shared.safe_message import SafeMessage
from tests.unit.shared.strategies import registry_hosts, texts

ACCOUNT = "123456789012"
DNS_SUFFIXES = {"aws": "amazonaws.com", "aws-cn": "amazonaws.com.cn", "aws-us-gov": "amazonaws.com"}


def parse(host: str) -> EcrHost:
    """Return what the host says."""
    return EcrHost.parse(RegistryHost.parse(host))


def amazons_regions() -> list[tuple[str, str]]:
    """Return every partition and region of these partitions, from Amazon's own list."""
    partitions = botocore.session.Session().get_data("endpoints")["partitions"]
    return [
        (partition["partition"], region)
        for partition in partitions
        if partition["partition"] in DNS_SUFFIXES
        for region in partition["regions"]
    ]


@pytest.mark.parametrize("partition, region", amazons_regions())
@pytest.mark.parametrize("endpoint", ["ecr", "ecr-fips"])
def test_every_region_of_amazon_is_understood(partition: str, region: str, endpoint: str) -> None:
    """Account, region and partition are read off the host."""
    host = f"{ACCOUNT}.dkr.{endpoint}.{region}.{DNS_SUFFIXES[partition]}"
    assert parse(host) == EcrHost(ACCOUNT, region, partition, fips=endpoint == "ecr-fips")


@pytest.mark.parametrize(
    "host",
    [
        f"{ACCOUNT}.dkr.ecr.cn-north-1.amazonaws.com",  # China without .cn
        f"{ACCOUNT}.dkr.ecr.eu-central-1.amazonaws.com.cn",
        f"{ACCOUNT}.dkr.ecr.us-gov-west-1.amazonaws.com.cn",
        f"{ACCOUNT}.dkr.ecr.eu-central-1.amazonaws.com:8443",
        f"{ACCOUNT}.dkr.ecr.eu-central-1.amazonaws.com.attacker.example",
        f"{ACCOUNT}.dkr.ecr.eu-central-1.amazonaws.example",
        f"{ACCOUNT}.dkr.ecr.us-iso-east-1.amazonaws.com",
        f"{ACCOUNT}.dkr.ecr.eu-central.amazonaws.com",
        f"{ACCOUNT}.dkr.ecr.amazonaws.com",
        f"{ACCOUNT}.dkr.ecr-other.eu-central-1.amazonaws.com",
        f"x.{ACCOUNT}.dkr.ecr.eu-central-1.amazonaws.com",
        f"{ACCOUNT}0.dkr.ecr.eu-central-1.amazonaws.com",
        "12345678901.dkr.ecr.eu-central-1.amazonaws.com",
        "registry.example",
        "ghcr.io",
    ],
)
def test_another_host_is_no_private_registry_of_amazon(host: str) -> None:
    """A role's token is never meant for it."""
    with pytest.raises(InvalidEcrHostError, match="expected <account>"):
        parse(host)


def test_the_errors_may_be_shown() -> None:
    """What they quote is our own."""
    assert issubclass(InvalidEcrHostError, SafeMessage)
    assert issubclass(InvalidRoleArnError, SafeMessage)


def test_public_ecr_is_no_registry_of_an_account() -> None:
    """It takes a login, but no role; the error says what to do."""
    with pytest.raises(InvalidEcrHostError, match="provider static"):
        parse("public.ecr.aws")


@pytest.mark.parametrize(
    "host, role_arn",
    [
        ("eu-central-1.amazonaws.com", f"arn:aws:iam::{ACCOUNT}:role/puller"),
        ("eu-central-1.amazonaws.com", f"arn:aws:iam::{ACCOUNT}:role/a/path/of+more/pull=er,@x"),
        ("cn-north-1.amazonaws.com.cn", f"arn:aws-cn:iam::{ACCOUNT}:role/puller"),
        ("us-gov-west-1.amazonaws.com", f"arn:aws-us-gov:iam::{ACCOUNT}:role/puller"),
    ],
)
def test_a_role_of_the_registrys_account_and_partition_agrees(host: str, role_arn: str) -> None:
    """The same account, in the same part of the world."""
    parse(f"{ACCOUNT}.dkr.ecr.{host}").require_role(role_arn)


@pytest.mark.parametrize(
    "role_arn, message",
    [
        (f"arn:aws-cn:iam::{ACCOUNT}:role/puller", "in the partition aws$"),
        (f"arn:aws-us-gov:iam::{ACCOUNT}:role/puller", "in the partition aws$"),
        ("arn:aws:iam::210987654321:role/puller", "of another account"),
        (f"arn:aws:iam::{ACCOUNT}:user/puller", "expected arn:aws:iam"),
        (f"arn:aws:sts::{ACCOUNT}:assumed-role/puller/x", "expected arn:aws:iam"),
        (f"arn:aws-iso:iam::{ACCOUNT}:role/puller", "expected arn:aws:iam"),
        (f"arn:aws:iam::{ACCOUNT}:role/", "expected arn:aws:iam"),
        (f"arn:aws:iam::{ACCOUNT}:role/pul ler", "expected arn:aws:iam"),
        (f"arn:aws:iam::{ACCOUNT}:role/puller\n", "expected arn:aws:iam"),
        (f"arn:aws:iam::{ACCOUNT}:role/" + "p" * 65, "expected arn:aws:iam"),
        (f"arn:aws:iam::{ACCOUNT}:role/" + "p/" * 5000 + "p", "expected arn:aws:iam"),
        (
            "arn:aws:iam::" + "\N{ARABIC-INDIC DIGIT ONE}" * 12 + ":role/puller",
            "expected arn:aws:iam",
        ),
        ("", "expected arn:aws:iam"),
    ],
)
def test_another_role_does_not_agree(role_arn: str, message: str) -> None:
    """It could not pull from this registry, and is somebody else's."""
    host = parse(f"{ACCOUNT}.dkr.ecr.eu-central-1.amazonaws.com")
    with pytest.raises(InvalidRoleArnError, match=message):
        host.require_role(role_arn)


@given(registry_hosts, texts)
def test_any_host_and_role_are_read_or_refused(host: RegistryHost, role_arn: str) -> None:
    """Nothing but the declared errors."""
    with contextlib.suppress(InvalidEcrHostError):
        EcrHost.parse(host)
    with contextlib.suppress(InvalidRoleArnError):
        EcrHost(ACCOUNT, "eu-central-1", "aws", fips=False).require_role(role_arn)


@given(
    st.from_regex(r"[0-9]{12}", fullmatch=True),
    st.sampled_from(amazons_regions()),
    st.sampled_from(amazons_regions()),
)
def test_partition_and_suffix_belong_together(
    account: str, named: tuple[str, str], other: tuple[str, str]
) -> None:
    """A region with another partition's suffix is a host that Amazon does not have."""
    host = f"{account}.dkr.ecr.{named[1]}.{DNS_SUFFIXES[other[0]]}"
    if DNS_SUFFIXES[named[0]] == DNS_SUFFIXES[other[0]]:
        assert parse(host).partition == named[0]
    else:
        with pytest.raises(InvalidEcrHostError):
            parse(host)


@pytest.mark.parametrize(
    "text, is_one",
    [
        ("ab", True),
        ("connection:7/x=1+2,3.4@5-6_7", True),
        ("x" * 1224, True),
        ("x", False),
        ("x" * 1225, False),
        ("with space", False),
        ("ümlaut", False),
        ("line\n", False),
        ("", False),
    ],
)
def test_an_external_id_is_of_stss_grammar(text: str, is_one: bool) -> None:  # noqa: FBT001 - a table
    """What STS refuses is refused before it is approved."""
    assert is_external_id(text) is is_one
