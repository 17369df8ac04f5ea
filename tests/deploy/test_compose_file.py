"""`deploy/compose/compose.yaml`, without starting it: what it hands to whom."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from control_plane.commands.settings import control_plane_settings
from deploy.dev.debian import REPOSITORY

FOLDER: Final = REPOSITORY / "deploy" / "compose"
TEXT: Final = (FOLDER / "compose.yaml").read_text("utf-8")
SERVICES: Final[dict[str, Any]] = yaml.safe_load(TEXT)["services"]
OVER_IT: Final = FOLDER / "compose.override.example.yaml"
COMPOSE: Final = Path(sys.executable).with_name("docker-compose")
FACADES: Final = ("facade-1", "facade-2")
SECRET: Final = re.compile(r"PASSWORD|TOKEN|SECRET|PRIVATE|_URL$|_KEY$")
MAY_BE_PLAIN: Final = {"CONTROL_PLANE_URL"}  # an address without a password
LONG_RUNNING: Final = ("control-plane", *FACADES)


def seconds(text: str) -> int:
    """Return a duration as this file writes it."""
    number, unit = int(text[:-1]), text[-1]
    return number * {"s": 1, "m": 60}[unit]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_confined(name: str) -> None:
    """On a root that nobody may write, without a capability; the first start alone has two."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged", False)
    assert service.get("cap_add", []) == (
        ["CHOWN", "DAC_OVERRIDE"] if name == "first-start" else []
    )


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_secret_is_a_file(name: str) -> None:
    """A variable names the file; whoever lists variables reads no secret."""
    require_secrets_as_files(SERVICES[name])


def require_secrets_as_files(service: dict[str, Any]) -> None:
    """Fail if a variable may hold a secret, or names a file that is not handed over."""
    variables = service.get("environment", {})
    secret = {each for each in variables if SECRET.search(each)} - MAY_BE_PLAIN
    assert {each for each in secret if not each.endswith("_FILE")} == set()
    files = {str(value) for key, value in variables.items() if key.endswith("_FILE")}
    handed = {
        f"/run/secrets/{each if isinstance(each, str) else each['target'].rpartition('/')[2]}"
        for each in service.get("secrets", [])
    }
    assert files <= handed


def test_what_lies_over_it_fits() -> None:
    """As Compose puts both together; the control plane knows each variable."""
    files = ("--file", FOLDER / "compose.yaml", "--file", OVER_IT)
    merged = subprocess.run(
        [COMPOSE, *files, "config"], cwd=FOLDER, env={}, capture_output=True, check=True
    )
    service = yaml.safe_load(merged.stdout)["services"]["control-plane"]
    require_secrets_as_files(service)
    over = yaml.safe_load(OVER_IT.read_text("utf-8"))["services"]["control-plane"]
    assert over["environment"].items() <= service["environment"].items()
    assert set(over["secrets"]) <= {each["source"] for each in service["secrets"]}
    known = {row.variable for row in control_plane_settings()}
    assert {
        each
        for each in service["environment"]
        if each not in known and each.removesuffix("_FILE") not in known
    } == set()


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_a_stopped_program_has_time_to_drain(name: str) -> None:
    """Compose kills it later than it ends by itself."""
    service = SERVICES[name]
    (drain,) = (v for k, v in service["environment"].items() if k.endswith("_DRAIN_TIMEOUT"))
    assert seconds(service["stop_grace_period"]) > seconds(drain)


def test_facades_share_the_cache_and_nothing_else() -> None:
    """A state, a login and a port each."""
    first, second = (set(map(str, SERVICES[name]["volumes"])) for name in FACADES)
    shared = {each for each in first & second if not each.startswith("./")}
    assert shared == {"facade-cache:/var/cache/registry-backends/facade"}
    logins = [SERVICES[name]["secrets"][-1]["source"] for name in FACADES]
    assert logins == ["facade-1-database-url", "facade-2-database-url"]


def test_no_private_key_is_handed_to_the_other_program() -> None:
    """The control plane cannot open a secret, a facade cannot sign."""
    assert "sealing.private.pem" not in SERVICES["control-plane"]["secrets"]
    for name in FACADES:
        assert "statement.private.pem" not in SERVICES[name]["secrets"]


def test_the_example_of_settings_has_each_that_is_read() -> None:
    """With the default that holds without it."""
    read = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", TEXT))
    shown = re.findall(
        r"^# (\w+)=(.*)$", (FOLDER / ".env.example").read_text("utf-8"), re.MULTILINE
    )
    assert dict(shown) == read
