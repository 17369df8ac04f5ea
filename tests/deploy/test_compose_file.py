"""`deploy/compose/compose.yaml`, without starting it: what it hands to whom."""

import re
from typing import Any, Final

import pytest
import yaml

from deploy.dev.debian import REPOSITORY

FOLDER: Final = REPOSITORY / "deploy" / "compose"
TEXT: Final = (FOLDER / "compose.yaml").read_text("utf-8")
SERVICES: Final[dict[str, Any]] = yaml.safe_load(TEXT)["services"]
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
    variables = SERVICES[name].get("environment", {})
    secret = {each for each in variables if SECRET.search(each)} - MAY_BE_PLAIN
    assert {each for each in secret if not each.endswith("_FILE")} == set()
    files = {str(value) for key, value in variables.items() if key.endswith("_FILE")}
    handed = {
        f"/run/secrets/{each if isinstance(each, str) else each['target']}"
        for each in SERVICES[name].get("secrets", [])
    }
    assert files <= handed


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
