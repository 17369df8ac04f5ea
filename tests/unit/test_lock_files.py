"""The two lock files: what is tested is what is installed, and nothing more is installed."""

import re
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
DEVELOPMENT = REPOSITORY / "deploy" / "requirements.lock"
RUNTIME = REPOSITORY / "deploy" / "requirements-runtime.lock"
DEVICES = sorted((REPOSITORY / "deploy" / "devices").glob("*/requirements.lock"))

PACKAGE = re.compile(r"(?P<name>[a-z0-9-]+)==\S+( ; [^\\]+)?")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def pins(lock: Path) -> dict[str, set[str]]:
    """Return what a lock file says of each package: its version and marker, and its hashes."""
    said: dict[str, set[str]] = {}
    name = ""
    for line in lock.read_text().splitlines():
        words = line.removesuffix("\\").strip()
        if package := PACKAGE.fullmatch(words):
            name = package["name"]
            assert name not in said, "one version of each package"
            said[name] = {words}
        else:
            assert HASH.fullmatch(words), "a lock file holds packages and hashes, and no address"
            said[name].add(words)
    return said


def required(*extras: str) -> set[str]:
    """Return the packages that the project itself, or one of its extras, names."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    lists = [project["optional-dependencies"][extra] for extra in extras]
    named = [name for each in lists or [project["dependencies"]] for name in each]
    return {re.split(r"[\[<>=;]", name)[0] for name in named} - {"registry-facade"}


@pytest.mark.parametrize("lock", [RUNTIME, *DEVICES], ids=lambda lock: lock.parent.name)
def test_a_lock_of_what_is_delivered_is_a_part_of_the_development_lock(lock: Path) -> None:
    """The same versions, markers and hashes."""
    assert len(DEVICES) == 2
    development = pins(DEVELOPMENT)
    for name, said in pins(lock).items():
        assert said == development[name]


@pytest.mark.parametrize(
    "lock", [DEVELOPMENT, RUNTIME, *DEVICES], ids=lambda lock: lock.parent.name
)
def test_every_package_has_its_hashes(lock: Path) -> None:
    """No other bytes are installed."""
    assert {name for name, said in pins(lock).items() if len(said) == 1} == set()


def test_the_runtime_lock_has_what_the_product_needs_and_no_tool() -> None:
    """A tool that is installed beside the product is one more thing to trust and to update."""
    runtime = pins(RUNTIME).keys()
    assert required() <= runtime
    tools = required("dev", "test", "check", "bench", "build")
    assert {"moto", "mypy", "ruff"} <= tools
    assert runtime & (tools - required()) == set()
