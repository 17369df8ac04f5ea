"""The files of each client: those of the page, and of a form that the client reads."""

import tomllib
from pathlib import PurePosixPath
from typing import Any

import orjson
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from facade.commands.client_files import (
    KEY_MODE,
    MARK,
    Client,
    ClientFile,
    DeviceSetUp,
    PemTexts,
    UnusableSetUpError,
    files_of,
    parse_device_path,
    parse_facade,
)
from shared.registry_host import RegistryHost
from tests.support.documented import blocks, documented

DEVICE = PurePosixPath("/etc/device")
TEXTS = PemTexts("the text of ca.crt", "the text of client.cert", "the text of client.key")


def set_up(*registries: str, facade: str = "facade.example:8443") -> DeviceSetUp:
    """Return the set-up of the page's examples."""
    return DeviceSetUp(
        parse_facade(facade),
        DEVICE / "client.cert",
        DEVICE / "client.key",
        DEVICE / "ca.crt",
        tuple(map(RegistryHost.parse, registries)),
        PurePosixPath("/root"),
        TEXTS,
    )


def files(client: Client, device: DeviceSetUp) -> dict[str, ClientFile]:
    """Return a client's files by their paths."""
    return {str(each.path): each for each in files_of(client, device).files}


def toml(file: ClientFile) -> dict[str, Any]:
    """Return what a file says."""
    return tomllib.loads(file.content.decode())


@pytest.mark.parametrize(
    "client, path, page",
    [
        (Client.CONTAINERD, "/etc/containerd/certs.d/registry.local:5000/hosts.toml", None),
        (
            Client.PODMAN,
            "/etc/containers/registries.conf.d/registry-facade.conf",
            "/etc/containers/registries.conf.d/facade.conf",
        ),
        (Client.BUILDKIT, "/etc/buildkit/buildkitd.toml", None),
    ],
)
def test_what_is_written_is_what_the_page_says(client: Client, path: str, page: str | None) -> None:
    """The page's texts are what real clients were tested with."""
    written = files(client, set_up("registry.local:5000"))[path]
    assert written.content.startswith(MARK.encode())
    assert toml(written) == tomllib.loads(documented(page or path, "toml", {}))


def test_regctl_has_the_texts_and_both_names() -> None:
    """By the facade's name as on the page; by the registry's own with a prefix."""
    made = files(Client.REGCTL, set_up("registry.local:5000"))["/root/.regctl/config.json"]
    assert made.mode == KEY_MODE
    assert "the text of client.key" not in repr(made)
    hosts = orjson.loads(made.content)["hosts"]
    [page] = [orjson.loads(text) for text in blocks("json") if "hosts" in text]
    assert hosts["facade.example:8443"] == page["hosts"]["facade.example:8443"]
    own = hosts["registry.local:5000"]
    assert (own["hostname"], own["pathPrefix"]) == ("facade.example:8443", "registry.local_5000")


def test_k3s_asks_the_facade_alone() -> None:
    """A rewrite puts the registry's name into the path; without its own endpoint k3s falls back."""
    made = files(Client.K3S, set_up("registry.local:5000", "docker.io"))
    registries = yaml.safe_load(made["/etc/rancher/k3s/registries.yaml"].content)
    assert registries["mirrors"]["registry.local:5000"] == {
        "endpoint": ["https://facade.example:8443"],
        "rewrite": {"^(.*)$": "registry.local_5000/$1"},
    }
    assert registries["configs"]["facade.example:8443"]["tls"]["key_file"] == f"{DEVICE}/client.key"
    beside = yaml.safe_load(made["/etc/rancher/k3s/config.yaml.d/registry-facade.yaml"].content)
    assert beside == {"disable-default-registry-endpoint": True}


def test_docker_shows_no_certificate_to_loopback() -> None:
    """It would go on by plain HTTP, or without one."""
    for facade in ("localhost:8443", "127.0.0.1:8443", "127.8.9.10:8443"):
        with pytest.raises(UnusableSetUpError, match="loopback"):
            files_of(Client.DOCKER, set_up("ghcr.io", facade=facade))
    made = files(Client.DOCKER, set_up("ghcr.io"))
    linked = made["/etc/docker/certs.d/facade.example:8443/client.key"]
    assert linked.link_to == DEVICE / "client.key"
    assert "/etc/docker/certs.d/ghcr.io/hosts.toml" in made


def test_oras_reads_no_file_and_is_told_its_options() -> None:
    """Also that of a facade on localhost."""
    made = files_of(Client.ORAS, set_up("ghcr.io", facade="localhost:8443"))
    assert made.files == ()
    assert "--plain-http=false" in made.notes[0]
    assert f"--key-file {DEVICE}/client.key" in made.notes[0]
    assert "--plain-http" not in files_of(Client.ORAS, set_up("ghcr.io")).notes[0]


@pytest.mark.parametrize("client", Client)
def test_the_default_port_is_left_out_as_clients_do(client: Client) -> None:
    """A folder `host:443` would never be looked into."""
    made = files_of(client, set_up("ghcr.io", facade="facade.example:443"))
    assert not any(":443" in str(each.path) or b":443" in each.content for each in made.files)
    assert any("digests alone" in note for note in made.notes)


labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,5}[a-z0-9])?", fullmatch=True)
hosts = st.builds(
    lambda name, port: RegistryHost(f"{name}.example", port),
    labels,
    st.none() | st.integers(1, 65535).filter(lambda port: port != 443),
)


@given(st.sampled_from(Client), hosts, st.lists(hosts, min_size=1, max_size=4, unique=True))
def test_every_registry_is_asked_at_the_facade_and_nowhere_else(
    client: Client, facade: RegistryHost, registries: list[RegistryHost]
) -> None:
    """Whatever is written is read by its format; no file names a registry as where to ask."""
    device = set_up(*map(str, registries), facade=str(facade))
    made = files(client, device)
    for each in made.values():
        assert each.path.is_absolute()
        assert (each.link_to is None) == bool(each.content)
    hosts_files = [each for path, each in made.items() if path.endswith("hosts.toml")]
    for each in hosts_files:
        said = toml(each)
        assert said["server"].startswith(f"https://{facade}/v2")
        assert list(said["host"]) == [said["server"]]
    for path, each in made.items():
        if path.endswith("registry-facade.conf"):
            written = toml(each)["registry"]
            assert [entry["prefix"] for entry in written] == [str(host) for host in registries]
            assert all(entry.keys() == {"prefix", "location"} for entry in written)
            locations = [f"{facade}/{host.path_form}" for host in registries]
            assert [entry["location"] for entry in written] == locations
        if path.endswith("registries.yaml"):
            mirrors = yaml.safe_load(each.content)["mirrors"]
            assert [each["endpoint"] for each in mirrors.values()] == [
                [f"https://{facade}"] for _ in registries
            ]


@given(st.text(max_size=30) | st.text("/.ab-_@+ \"'\\\n", max_size=12))
def test_any_path_is_written_as_it_stands_or_refused(text: str) -> None:
    """A quote or a line break would end the text that it stands in."""
    try:
        path = parse_device_path("--key", text)
    except UnusableSetUpError as error:
        assert "--key" in str(error)  # noqa: PT017 - either outcome is right
        return
    assert str(path) == text
    assert not set(text) & set("\"'\\\n $`{}")
    assert {".", ".."}.isdisjoint(path.parts)


@pytest.mark.parametrize("text", ["", ":8443", "facade:99999", "[::1]:8443", "a b:1", "a/b:1"])
def test_what_is_no_facade_is_refused(text: str) -> None:
    """It would be written into every file."""
    with pytest.raises(UnusableSetUpError, match="--facade"):
        parse_facade(text)
