"""The facade's settings: every wrong variable is named at once, and no value is ever shown."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from facade.registries.device_allowance import CostLimits
from facade.registries.upstream_spending import SpendingLimits
from facade.serving.config import PREFIX, FacadeSettings
from shared.environment import ConfigurationError, load
from shared.identity_form import IdentityKind
from shared.keys import private_pem, public_pem
from shared.postgres.database_url import read_database_url
from shared.upstream.no_proxy import NoProxy
from shared.upstream.transport import Timeouts
from tests.support.facade_environment import REQUIRED, good_environment
from tests.support.facade_process import FacadeFiles

CANARY = "canary-5be0cd19"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """An environment in which nothing is wrong."""
    return good_environment(tmp_path_factory.mktemp("good"))


def problems_of(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what is wrong, by variable; fail where nothing is."""
    with pytest.raises(ConfigurationError) as refused:
        load(FacadeSettings, PREFIX, environment)
    assert CANARY not in str(refused.value)
    named = dict(line.split(": ", 1) for line in refused.value.problems)
    assert len(named) == len(refused.value.problems)
    return named


def test_the_required_variables_are_enough(good: Mapping[str, str]) -> None:
    """Everything else has a default, and these are the documented ones."""
    settings = load(FacadeSettings, PREFIX, good)
    assert str(settings.listen) == "0.0.0.0:8443"
    assert str(settings.operations_listen) == "127.0.0.1:8081"
    assert (settings.reuse_port, settings.allow_loopback) == (False, False)
    assert (settings.tls_minimum, settings.device_identity) == ("1.3", IdentityKind.SPIFFE)
    assert (settings.snapshot_max_age, settings.poll_interval) == (24 * 3600, 15)
    assert (settings.log_level, settings.drain_timeout) == ("info", 30)
    assert settings.cost_limits == CostLimits(misses_per_minute=600, downloads=64)
    assert settings.spending_limits == SpendingLimits(2400, 300, 256 * 2**30)
    assert (settings.remember_missing, settings.upstream_bandwidth) == (30, 0)
    assert (settings.upstream_streams_per_blob, settings.upstream_streams) == (4, 32)
    assert settings.upstream_timeouts == Timeouts()
    assert (settings.max_connections, settings.max_connections_per_device) == (0, 32)
    assert (settings.max_connection_age, settings.device_crl_file) == (3600, None)
    assert "canary-password" not in repr(settings)


def test_what_pulls_take_is_limited_with_their_misses_unless_it_is_said(
    good: Mapping[str, str],
) -> None:
    """Whoever takes one limit away means the other, too."""
    unlimited = {**good, "FACADE_DEVICE_MISSES_PER_MINUTE": "0"}
    assert load(FacadeSettings, PREFIX, unlimited).spending_limits == SpendingLimits(
        0, 0, 256 * 2**30
    )
    said = {
        "FACADE_DEVICE_UPSTREAM_REQUESTS_PER_MINUTE": "7",
        "FACADE_DEVICE_TOKENS_PER_MINUTE": "0",
        "FACADE_DEVICE_UPSTREAM_BYTES_PER_HOUR": "1MiB",
    }
    settings = load(FacadeSettings, PREFIX, {**good, **said})
    assert settings.spending_limits == SpendingLimits(7, 0, 2**20)


@pytest.mark.parametrize("missing", REQUIRED)
def test_each_required_variable_is_named_where_it_is_missing(
    good: Mapping[str, str], missing: str
) -> None:
    """It, and no other."""
    environment = {name: value for name, value in good.items() if name != missing}
    assert problems_of(environment).keys() == {missing}


def test_all_that_is_missing_is_named_at_once() -> None:
    """Nobody wants to start eight times to learn eight names."""
    assert problems_of({}).keys() == set(REQUIRED)


WRONG = {
    "FACADE_ALLOW_LOOPBACK": f"yes {CANARY}",
    "FACADE_CACHE_MAX_BYTES": f"10 {CANARY}",
    "FACADE_DATABASE_URL": f"mysql://u:{CANARY}@h/d",
    "FACADE_DEVICE_CA_FILE": f"/nonexistent/{CANARY}",
    "FACADE_DEVICE_CRL_FILE": f"/nonexistent/{CANARY}",
    "FACADE_DEVICE_DOWNLOADS": "-1",
    "FACADE_DEVICE_IDENTITY": CANARY,
    "FACADE_DEVICE_MISSES_PER_MINUTE": f"many {CANARY}",
    "FACADE_DRAIN_DELAY": f"later {CANARY}",
    "FACADE_DRAIN_TIMEOUT": f"soon {CANARY}",
    "FACADE_LISTEN": f"{CANARY}:8443",
    "FACADE_LOG_LEVEL": CANARY,
    "FACADE_MAX_CONNECTIONS": "-1",
    "FACADE_MAX_CONNECTIONS_PER_DEVICE": "0",
    "FACADE_MAX_CONNECTION_AGE": "0s",
    "FACADE_OPERATIONS_LISTEN": f"127.0.0.1:{CANARY}",
    "FACADE_POLL_INTERVAL": "0s",
    "FACADE_REMEMBER_MISSING": f"30 {CANARY}",
    "FACADE_REUSE_PORT": "1",
    "FACADE_SEALING_PRIVATE_KEY_FILE": f"/nonexistent/{CANARY}",
    "FACADE_SNAPSHOT_MAX_AGE": f"-1{CANARY}",
    "FACADE_STATEMENT_PUBLIC_KEY_FILE": f"/nonexistent/{CANARY}",
    "FACADE_STATE_DIR": "",
    "FACADE_TLS_CERT_FILE": f"/nonexistent/{CANARY}",
    "FACADE_TLS_KEY_FILE": f"/nonexistent/{CANARY}",
    "FACADE_TLS_MINIMUM": "1.1",
    "FACADE_UPSTREAM_BANDWIDTH": "20MB",
    "FACADE_UPSTREAM_STREAMS": "-1",
    "FACADE_UPSTREAM_STREAMS_PER_BLOB": "0",
    "FACADE_UPSTREAM_TIMEOUT": "0s",
    f"FACADE_{CANARY.upper().replace('-', '_')}": CANARY,
}


def test_all_that_is_wrong_is_named_at_once_without_a_value() -> None:
    """A variable that nobody knows is among it: it is more often a slip than meant."""
    assert problems_of(WRONG).keys() == WRONG.keys()


@pytest.mark.parametrize("name", WRONG)
def test_each_wrong_value_is_named_alone(good: Mapping[str, str], name: str) -> None:
    """Where everything else is right, nothing else is said."""
    assert problems_of({**good, name: WRONG[name]}).keys() == {name}


def test_a_blob_has_no_more_streams_than_one_may_have(good: Mapping[str, str]) -> None:
    """Also for what devices wait for."""
    name = "FACADE_UPSTREAM_STREAMS_PER_BLOB"
    assert load(FacadeSettings, PREFIX, {**good, name: "16"}).upstream_streams_per_blob == 16
    assert problems_of({**good, name: "17"}).keys() == {name}


STATEMENT, SEALING = Ed25519PrivateKey.generate(), X25519PrivateKey.generate()
KEY_FILES = {
    "an Ed25519 private key": private_pem(STATEMENT),
    "an Ed25519 public key": public_pem(STATEMENT.public_key()),
    "an X25519 private key": private_pem(SEALING),
    "an X25519 public key": public_pem(SEALING.public_key()),
}


@pytest.mark.parametrize(
    "variable, right, belongs",
    [
        ("FACADE_STATEMENT_PUBLIC_KEY_FILE", "an Ed25519 public key", "statement.public.pem"),
        ("FACADE_SEALING_PRIVATE_KEY_FILE", "an X25519 private key", "sealing.private.pem"),
    ],
)
def test_a_key_file_in_anothers_place_is_told_what_it_holds(
    good: Mapping[str, str], tmp_path: Path, variable: str, right: str, belongs: str
) -> None:
    """The four files of an installation are mixed up easily; which is meant is told too."""
    for held in KEY_FILES.keys() - {right}:
        path = tmp_path / "key.pem"
        path.write_bytes(KEY_FILES[held])
        (problem,) = problems_of({**good, variable: str(path)}).items()
        assert problem[0] == variable
        assert f"it holds {held}; what belongs there: " in problem[1]
        assert f"as in {belongs}" in problem[1]


@pytest.mark.parametrize("content", [b"", CANARY.encode(), b"certificates"])
def test_a_crl_file_that_holds_none_is_refused(
    good: Mapping[str, str], tmp_path: Path, content: bytes
) -> None:
    """A certificate in its place, too."""
    if content == b"certificates":
        content = Path(good["FACADE_DEVICE_CA_FILE"]).read_bytes()
    (tmp_path / "crl.pem").write_bytes(content)
    environment = {**good, "FACADE_DEVICE_CRL_FILE": str(tmp_path / "crl.pem")}
    assert problems_of(environment).keys() == {"FACADE_DEVICE_CRL_FILE"}


PEM_FILES = {
    "FACADE_DEVICE_CA_FILE",
    "FACADE_SEALING_PRIVATE_KEY_FILE",
    "FACADE_STATEMENT_PUBLIC_KEY_FILE",
    "FACADE_TLS_CERT_FILE",
    "FACADE_TLS_KEY_FILE",
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_every_pem_file_is_read_under_comments_of_any_encoding(
    good: Mapping[str, str], tmp_path: Path, encoding: str
) -> None:
    """With line ends of Windows, too."""
    commented = {
        name: f"# Größe\r\n{Path(good[name]).read_text()}".replace("\n", "\r\n").encode(encoding)
        for name in PEM_FILES
    }
    for name, content in commented.items():
        (tmp_path / name).write_bytes(content)
    settings = load(FacadeSettings, PREFIX, {**good, **{n: str(tmp_path / n) for n in PEM_FILES}})
    assert settings.device_ca_file == tmp_path / "FACADE_DEVICE_CA_FILE"


@pytest.mark.parametrize("name", sorted(PEM_FILES))
def test_a_file_that_is_cut_off_is_refused_with_the_reason(
    good: Mapping[str, str], tmp_path: Path, name: str
) -> None:
    """Half a bundle would be fewer CAs, which only the devices of the others would notice."""
    content = Path(good[name]).read_bytes()
    (tmp_path / name).write_bytes(content + content[:-20])
    problems = problems_of({**good, name: str(tmp_path / name)})
    assert "cut off" in problems[name]


def test_a_slip_of_the_pen_is_answered_with_the_nearest_name(good: Mapping[str, str]) -> None:
    """The default of what was meant would be used silently."""
    assert (
        "did you mean FACADE_LISTEN?" in problems_of({**good, "FACADE_LISTN": "x"})["FACADE_LISTN"]
    )


@pytest.mark.parametrize(
    "url",
    [
        "",
        "garbage-{canary}",
        "/var/run/{canary}",
        "http://u:{canary}@h/d",
        "postgresql:///{canary}",
        "postgresql:{canary}",
        "postgresql://u:{canary}@h:port/d",
        "postgresql://u:{canary}@h:0/d",
        "postgresql://u:{canary}@h:65536/d",
        "postgresql://u:{canary}@h:1,i:j/d",
        "postgresql://u:{canary}@[::1/d",
        "postgresql://u:{canary}@" + "h" * 254 + "/d",
    ],
)
def test_a_database_url_that_is_none_is_refused(good: Mapping[str, str], url: str) -> None:
    """It would be tried again for ever, or end the process with its text in a traceback."""
    environment = {**good, "FACADE_DATABASE_URL": url.replace("{canary}", CANARY)}
    assert problems_of(environment).keys() == {"FACADE_DATABASE_URL"}


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p@localhost/d",
        "postgres://u:p@h:5432/d?sslmode=prefer",
        "postgresql://u@[::1]:5432/d?sslmode=verify-full",
        "postgresql://u:p%40%2f@h1:5432,h2:5433/d?target_session_attrs=any&sslmode=verify-full",
    ],
)
def test_the_forms_of_a_database_url_are_taken(good: Mapping[str, str], url: str) -> None:
    """As libpq has them, several hosts included; the environment completes them."""
    environment = {**good, "FACADE_DATABASE_URL": url, "PGAPPNAME": "facade"}
    settings = load(FacadeSettings, PREFIX, environment)
    assert settings.database_url == read_database_url(url, {"PGAPPNAME": "facade"})
    assert dict(settings.database_url.server_settings) == {"application_name": "facade"}


@pytest.mark.parametrize(
    "parameter, problem",
    [
        ("channel_binding=require", "channel_binding: cannot be honoured"),
        ("sslmode=require&sslrootcert=/no/{canary}.pem", "sslrootcert: /no/"),
        ("passfile=/no/pgpass", "passfile: /no/pgpass cannot be used: No such file"),
    ],
)
def test_a_parameter_that_cannot_be_honoured_is_named(
    good: Mapping[str, str], parameter: str, problem: str
) -> None:
    """A file that cannot be read too, with its path; the URL itself is not quoted."""
    url = f"postgresql://u@h/d?{parameter.replace('{canary}', 'file')}&application_name={CANARY}"
    said = problems_of({**good, "FACADE_DATABASE_URL": url})["FACADE_DATABASE_URL"]
    assert said.startswith(problem)


def test_what_is_reached_directly_belongs_to_the_proxy(good: Mapping[str, str]) -> None:
    """Without a proxy it is true anyway, and no error: a template may always say it."""
    listed = {**good, "FACADE_NO_PROXY": ".corp.example,10.0.0.0/8"}
    assert load(FacadeSettings, PREFIX, listed).outbound_proxy is None
    proxied = {**listed, "FACADE_HTTPS_PROXY": "http://proxy.example:3128"}
    proxy = load(FacadeSettings, PREFIX, proxied).outbound_proxy
    assert proxy is not None
    assert proxy.no_proxy == NoProxy.parse(".corp.example,10.0.0.0/8")
    wrong = {**proxied, "FACADE_NO_PROXY": f"ok.example,http://{CANARY}"}
    assert problems_of(wrong)["FACADE_NO_PROXY"].startswith("entry 2 is none of the hosts")


def encrypted_key(folder: Path) -> bytes:
    """Return the TLS key with a password."""
    key = FacadeFiles.write(folder, statement_public_pem=b"", sealing_private_pem=b"")
    return key.server_ca.issue_server().key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password")
    )


FILES = (
    "FACADE_DEVICE_CA_FILE",
    "FACADE_SEALING_PRIVATE_KEY_FILE",
    "FACADE_STATEMENT_PUBLIC_KEY_FILE",
    "FACADE_TLS_CERT_FILE",
    "FACADE_TLS_KEY_FILE",
)
CONTENTS: dict[str, Callable[[Path], bytes]] = {
    "nothing": lambda _: b"",
    "no PEM": lambda _: CANARY.encode(),
    "a PEM of nonsense": lambda _: (
        b"-----BEGIN CERTIFICATE-----\n" + CANARY.encode() + b"\n-----END CERTIFICATE-----\n"
    ),
    "an Ed25519 private key": lambda _: private_pem(Ed25519PrivateKey.generate()),
    "an X25519 public key": lambda _: public_pem(X25519PrivateKey.generate().public_key()),
    "a key with a password": encrypted_key,
}


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_kind_is_named(
    good: Mapping[str, str], tmp_path: Path, name: str, content: str
) -> None:
    """A key of another kind is a mistake that must not wait for the first pull."""
    path = tmp_path / "wrong.pem"
    path.write_bytes(CONTENTS[content](tmp_path))
    assert problems_of({**good, name: str(path)}).keys() == {name}


def test_the_halves_of_key_pairs_are_not_taken_for_one_another(
    good: Mapping[str, str], tmp_path: Path
) -> None:
    """The control plane's halves in the facade's place are named, both at once."""
    statement, sealing = Ed25519PrivateKey.generate(), X25519PrivateKey.generate()
    (tmp_path / "statement.private.pem").write_bytes(private_pem(statement))
    (tmp_path / "sealing.public.pem").write_bytes(public_pem(sealing.public_key()))
    environment = {
        **good,
        "FACADE_STATEMENT_PUBLIC_KEY_FILE": str(tmp_path / "statement.private.pem"),
        "FACADE_SEALING_PRIVATE_KEY_FILE": str(tmp_path / "sealing.public.pem"),
    }
    assert problems_of(environment).keys() == {
        "FACADE_STATEMENT_PUBLIC_KEY_FILE",
        "FACADE_SEALING_PRIVATE_KEY_FILE",
    }


def test_several_keys_in_one_file_are_taken(good: Mapping[str, str], tmp_path: Path) -> None:
    """While one is being rotated."""
    path = tmp_path / "statement.public.pem"
    keys = [public_pem(Ed25519PrivateKey.generate().public_key()) for _ in range(2)]
    path.write_bytes(b"".join(keys))
    load(FacadeSettings, PREFIX, {**good, "FACADE_STATEMENT_PUBLIC_KEY_FILE": str(path)})


def test_a_certificate_with_another_ones_key_is_named(
    good: Mapping[str, str], tmp_path: Path
) -> None:
    """Each is right alone."""
    other = good_environment(tmp_path)
    environment = {**good, "FACADE_TLS_KEY_FILE": other["FACADE_TLS_KEY_FILE"]}
    assert problems_of(environment).keys() == {"FACADE_TLS_KEY_FILE"}


def test_the_delay_is_a_part_of_the_whole_time_to_drain(good: Mapping[str, str]) -> None:
    """So that whoever supervises it has one time to wait for."""
    settings = {"FACADE_DRAIN_DELAY": "10s", "FACADE_DRAIN_TIMEOUT": "10s"}
    assert load(FacadeSettings, PREFIX, {**good, **settings}).drain_delay == 10
    assert problems_of({**good, **settings, "FACADE_DRAIN_DELAY": "11s"}) == {
        "FACADE_DRAIN_DELAY": "expected no longer than FACADE_DRAIN_TIMEOUT, of which it is a part"
    }


def test_a_cache_needs_a_folder(good: Mapping[str, str]) -> None:
    """But for a size of nothing, which keeps nothing."""
    environment = {**good, "FACADE_CACHE_MAX_BYTES": "10GiB"}
    assert problems_of(environment).keys() == {"FACADE_CACHE_DIR"}
    also_wrong = {**environment, "FACADE_LISTEN": "anywhere"}
    assert problems_of(also_wrong).keys() == {"FACADE_CACHE_DIR", "FACADE_LISTEN"}


@pytest.mark.parametrize(
    "pattern",
    [
        "https://example.com/{device}",
        "spiffe://example.com/fixed",
        "spiffe://{trust_domain}/{fleet}",
        "spiffe://example.com/{device}/{device}",
        "spiffe://example.com/{device}/{unknown}",
        "spiffe://example.com/{device",
        "spiffe://example.com/{device}?x",
        "spiffe://example.com/{device}/é",
        "spiffe://example.com/{fleet}{device}",
        "spiffe://example.com/{fleet}-{device}",
        "spiffe://{trust_domain}{device}",
        "spiffe://{device}/{trust_domain}",
        "spiffe://example.com/{trust_domain}/{device}",
        "spiffe:///{device}",
        "spiffe://example.com//{device}",
        "spiffe://example.com/{device}/",
        "spiffe://example.com/../{device}",
        "spiffe://Example.com/{device}",
    ],
)
def test_a_pattern_that_could_be_read_in_two_ways_is_refused(
    good: Mapping[str, str], pattern: str
) -> None:
    """Or that no SPIFFE id has: each placeholder is a whole segment."""
    environment = {**good, "FACADE_DEVICE_URI_PATTERN": pattern}
    assert problems_of(environment).keys() == {"FACADE_DEVICE_URI_PATTERN"}


@pytest.mark.parametrize("kind", ["", "spiffe,dns", "SPIFFE", "any", "uri"])
def test_devices_are_identified_in_exactly_one_way(good: Mapping[str, str], kind: str) -> None:
    """Chosen by its name; what is no choice is not taken for the default."""
    environment = {**good, "FACADE_DEVICE_IDENTITY": kind}
    assert problems_of(environment).keys() == {"FACADE_DEVICE_IDENTITY"}


@pytest.mark.parametrize("kind", ["dns", "subject"])
def test_a_pattern_that_would_not_be_looked_at_is_refused(
    good: Mapping[str, str], kind: str
) -> None:
    """Whoever set both expects something that does not happen."""
    environment = {**good, "FACADE_DEVICE_IDENTITY": kind}
    assert load(FacadeSettings, PREFIX, environment).device_identity == kind
    environment["FACADE_DEVICE_URI_PATTERN"] = "spiffe://example.com/{device}"
    assert problems_of(environment).keys() == {"FACADE_DEVICE_URI_PATTERN"}
