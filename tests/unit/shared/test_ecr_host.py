"""What a private ECR registry's host says, and which roles agree with it."""

import contextlib

import botocore.session
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.aws_partitions import DUAL_STACK_APIS, partition_of_region, partitions
from shared.ecr_host import EcrHost, InvalidEcrHostError, InvalidRoleArnError, is_external_id
from shared.registry_host import InvalidRegistryHostError, RegistryHost
from shared.safe_message import SafeMessage
from shared.upstream.hosts import registry_host_from_people
from tests.unit.shared.strategies import registry_hosts, texts

ACCOUNT = "123456789012"
# As AWS's documentation has them: of hosts for IPv4 alone, and of dual-stack hosts.
SUFFIXES = {
    "aws": ("amazonaws.com", "on.aws"),
    "aws-us-gov": ("amazonaws.com", "on.aws"),
    "aws-cn": ("amazonaws.com.cn", "on.amazonwebservices.com.cn"),
    "aws-eusc": ("amazonaws.eu", "on.amazonwebservices.eu"),
    "aws-iso": ("c2s.ic.gov", "on.aws.ic.gov"),
    "aws-iso-b": ("sc2s.sgov.gov", "on.aws.scloud"),
    "aws-iso-e": ("cloud.adc-e.uk", "on.cloud-aws.adc-e.uk"),
    "aws-iso-f": ("csp.hci.ic.gov", "on.aws.hci.ic.gov"),
}


def parse(host: str) -> EcrHost:
    """Return what the host says."""
    return EcrHost.parse(RegistryHost.parse(host))


ENDPOINTS = botocore.session.Session().get_data("endpoints")["partitions"]


def amazons_regions() -> list[tuple[str, str]]:
    """Return every partition and region, from Amazon's list of endpoints."""
    return [
        (partition["partition"], region)
        for partition in ENDPOINTS
        for region in partition["regions"]
    ]


@pytest.mark.parametrize("partition, region", amazons_regions())
@pytest.mark.parametrize("is_dual_stack", [False, True])
@pytest.mark.parametrize("fips", ["", "-fips"])
def test_every_region_of_amazon_is_understood(
    partition: str,
    region: str,
    fips: str,
    is_dual_stack: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """Account, region and partition are read off the host, in each form that AWS documents."""
    joint = "dkr-ecr" if is_dual_stack else "dkr.ecr"
    host = f"{ACCOUNT}.{joint}{fips}.{region}.{SUFFIXES[partition][is_dual_stack]}"
    assert parse(host) == EcrHost(
        ACCOUNT, region, partition, fips=bool(fips), dual_stack=is_dual_stack
    )


def test_the_partitions_are_amazons() -> None:
    """Botocore has two tables, and we read the smaller: what they both say is the same."""
    assert {
        partition["partition"]: (partition["dnsSuffix"], partition["regionRegex"])
        for partition in ENDPOINTS
    } == {
        partition.id: (partition.dns_suffix, partition.region_pattern.pattern)
        for partition in partitions().values()
    }
    assert partitions().keys() == SUFFIXES.keys()


def test_dual_stack_apis_are_where_amazon_has_them() -> None:
    """In the table of endpoints; the one of partitions says that every partition has some."""
    assert {
        partition["partition"]
        for partition in ENDPOINTS
        if "dualstack" in orjson.dumps(partition["defaults"]).decode()
    } == DUAL_STACK_APIS


def test_a_region_that_botocore_does_not_know_yet_is_commercial() -> None:
    """As AWS's own endpoint rules have it; one of another partition's names is that one's."""
    for region, partition in (
        ("nz-central-1", "aws"),
        ("us-south-9", "aws"),
        ("eusc-de-west-2", "aws-eusc"),
        ("us-isob-north-3", "aws-iso-b"),
        ("cn-south-1", "aws-cn"),
    ):
        found = partition_of_region(region)
        assert found is not None
        assert found.id == partition


@pytest.mark.parametrize(
    "region",
    [
        "aws-global",
        "aws-iso-global",
        "us-east",
        "us-east-1\n",
        "US-EAST-1",
        "us_east-1",
        "us-east-1a",
        "us-east-٣",
        "eu.central-1",
        "eu--central-1",
        "-eu-central-1",
        "",
    ],
)
def test_what_is_no_region_is_in_no_partition(region: str) -> None:
    """Botocore's table has pseudo-regions, and expressions that take any letter."""
    assert partition_of_region(region) is None


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
        f"{ACCOUNT}.dkr.ecr.eusc-de-east-1.amazonaws.com",
        f"{ACCOUNT}.dkr.ecr.eu-central-1.amazonaws.eu",
        f"{ACCOUNT}.dkr.ecr.us-isob-east-1.c2s.ic.gov",
        f"{ACCOUNT}.dkr-ecr.eu-central-1.amazonaws.com",
        f"{ACCOUNT}.dkr.ecr.eu-central-1.on.aws",
        f"{ACCOUNT}.dkr-ecr.eu-central-1.api.aws",
        f"{ACCOUNT}.dkr-ecr.cn-north-1.on.aws",
        f"{ACCOUNT}.dkr-ecr.eu-central-1.on.amazonwebservices.com.cn",
        f"{ACCOUNT}.dkr-ecr.eu-central-1.on.aws.attacker.example",
        f"{ACCOUNT}.dkr-ecr.eu-central-1.on.aws:8443",
        f"{ACCOUNT}.dkr-ecr-other.eu-central-1.on.aws",
        f"{ACCOUNT}.dkr.ecr.aws-global.amazonaws.com",
        f"{ACCOUNT}.dkr.ecr.eu--central-1.amazonaws.com",
        f"{ACCOUNT}.dkr.ecr.eu.central-1.amazonaws.com",
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


@pytest.mark.parametrize("host", ["public.ecr.aws", "ecr-public.aws.com"])
def test_public_ecr_is_no_registry_of_an_account(host: str) -> None:
    """It takes a login, but no role; the error says what to do."""
    with pytest.raises(InvalidEcrHostError, match=f"{host} .* provider static"):
        parse(host)


@pytest.mark.parametrize(
    "typed, canonical",
    [
        (f"{ACCOUNT}.DKR.ECR.EU-Central-1.AmazonAWS.com", "dkr.ecr.eu-central-1.amazonaws.com"),
        (f"https://{ACCOUNT}.dkr-ecr.us-east-1.on.aws/v2/", "dkr-ecr.us-east-1.on.aws"),
        (
            f"{ACCOUNT}.dkr.ecr.eusc-de-east-1.amazonaws.eu:443",
            "dkr.ecr.eusc-de-east-1.amazonaws.eu",
        ),
    ],
)
def test_a_host_is_read_in_its_canonical_form(typed: str, canonical: str) -> None:
    """However people write it."""
    host = registry_host_from_people(typed)
    assert str(host) == f"{ACCOUNT}.{canonical}"
    assert EcrHost.parse(host).account == ACCOUNT


@pytest.mark.parametrize("suffix", [".", ".:443", "%00", "/", "@attacker.example", "#.example"])
def test_a_host_with_more_behind_it_is_no_host(suffix: str) -> None:
    """A final dot too: to TLS and to AWS's signatures it is another name."""
    text = f"{ACCOUNT}.dkr.ecr.eu-central-1.amazonaws.com{suffix}"
    with pytest.raises(InvalidRegistryHostError):
        RegistryHost.parse(text)


@pytest.mark.parametrize(
    "host, role_arn",
    [
        ("eu-central-1.amazonaws.com", f"arn:aws:iam::{ACCOUNT}:role/puller"),
        ("eu-central-1.amazonaws.com", f"arn:aws:iam::{ACCOUNT}:role/a/path/of+more/pull=er,@x"),
        ("cn-north-1.amazonaws.com.cn", f"arn:aws-cn:iam::{ACCOUNT}:role/puller"),
        ("us-gov-west-1.amazonaws.com", f"arn:aws-us-gov:iam::{ACCOUNT}:role/puller"),
        ("eusc-de-east-1.amazonaws.eu", f"arn:aws-eusc:iam::{ACCOUNT}:role/puller"),
        ("us-iso-east-1.c2s.ic.gov", f"arn:aws-iso:iam::{ACCOUNT}:role/puller"),
        ("us-isob-east-1.sc2s.sgov.gov", f"arn:aws-iso-b:iam::{ACCOUNT}:role/puller"),
        ("eu-isoe-west-1.cloud.adc-e.uk", f"arn:aws-iso-e:iam::{ACCOUNT}:role/puller"),
        ("us-isof-south-1.csp.hci.ic.gov", f"arn:aws-iso-f:iam::{ACCOUNT}:role/puller"),
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
        (f"arn:aws-iso:iam::{ACCOUNT}:role/puller", "in the partition aws$"),
        (f"arn:aws-eusc:iam::{ACCOUNT}:role/puller", "in the partition aws$"),
        (f"arn:aws-nowhere:iam::{ACCOUNT}:role/puller", "expected arn:aws:iam"),
        (f"arn:aws-iso-:iam::{ACCOUNT}:role/puller", "expected arn:aws:iam"),
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
    for is_dual_stack, joint in enumerate(("dkr.ecr", "dkr-ecr")):
        suffix = SUFFIXES[other[0]][is_dual_stack]
        host = f"{account}.{joint}.{named[1]}.{suffix}"
        if suffix == SUFFIXES[named[0]][is_dual_stack]:
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
