"""The configuration: what the owner got wrong is said with its place, all of it at once."""

import re
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.dev.debian import REPOSITORY
from device_agent.config import read_configuration
from device_agent.errors import ConfigurationError
from device_agent.grammar import hex_of, is_name, is_repository

GOOD = """
fleet = "line-a"
device = "press-7"
[metadata]
url = "https://updates.example/tuf/"
ca = "/etc/device/ca.crt"
[facade]
url = "https://facade.example:8443"
ca = "/etc/device/ca.crt"
certificate = "/etc/device/client.cert"
key = "/etc/device/client.key"
[slots.app]
kind = "container"
options = ["--network=host"]
[slots.app.health]
command = ["/usr/bin/true"]
[slots.vision]
kind = "model"
path = "/var/lib/models/vision.onnx"
"""

WRONG = {
    "no TOML": ("fleet = ", "", "agent.toml"),
    "a word too many": ('device = "press-7"', 'device = "press-7"\ncolour = "red"', "colour"),
    "no facade": ("[facade]", "[other]", "facade"),
    "plain HTTP": ("https://facade", "http://facade", "https"),
    "a password": ("https://facade", "https://u:p@facade", "certificates"),
    "a fleet of globs": ('"line-a"', '"line-*"', "fleet"),
    "a device of two": ('"press-7"', '"press/7"', "device"),
    "a kind nobody knows": ('kind = "model"', 'kind = "vm"', "container or model"),
    "a relative path": ('"/var/lib/models', '"models', "begin with /"),
    "a key alone": ('certificate = "/etc/device/client.cert"', "", "go together"),
    "a number for a text": ('fleet = "line-a"', "fleet = 7", "a text"),
    "no slots": ("[slots.", "[slot.", "slots"),
    "a slot of globs": ("[slots.vision]", '[slots."a*"]', "a\\*"),
}


def test_a_good_configuration_is_read(tmp_path: Path) -> None:
    """With its defaults."""
    path = tmp_path / "agent.toml"
    path.write_text(GOOD)
    read = read_configuration(path)
    assert list(read.slots) == ["app", "vision"]
    assert read.limits.window_bytes == 65536


def test_the_configuration_of_the_page_is_read(tmp_path: Path) -> None:
    """As it stands there."""
    page = (REPOSITORY / "deploy" / "devices" / "agent" / "README.md").read_text("utf-8")
    (block,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    path = tmp_path / "agent.toml"
    path.write_text(textwrap.dedent(block))
    assert list(read_configuration(path).slots) == ["app", "vision"]


@pytest.mark.parametrize("kind", WRONG)
def test_a_mistake_is_said(tmp_path: Path, kind: str) -> None:
    """With the word that it is about."""
    before, after, word = WRONG[kind]
    path = tmp_path / "agent.toml"
    path.write_text(GOOD.replace(before, after) if kind != "no TOML" else "fleet = ")
    with pytest.raises(ConfigurationError, match=word):
        read_configuration(path)


@given(st.text())
def test_no_name_leaves_its_place(text: str) -> None:
    """Names become parts of patterns, paths and containers' names."""
    if is_name(text):
        assert not set(text) & set("/*?[]\\ \n")
        assert text not in {".", ".."}
    if is_repository(text):
        assert ".." not in text.split("/")
        assert not set(text) & set("%?#\\@ \n")


@pytest.mark.parametrize("text", ["", "sha256:", "sha256:" + "g" * 64, "sha256:" + "0" * 64 + "\n"])
def test_what_is_no_digest_is_none(text: str) -> None:
    """It would become a path."""
    with pytest.raises(ValueError, match="no sha256"):
        hex_of(text)
