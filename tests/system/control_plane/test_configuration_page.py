"""What the page on files shows is read, applied and approved, line by line."""

from collections.abc import Mapping
from pathlib import Path

import orjson
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped] # it ships no types

from control_plane.declared.yaml_reading import read_yaml
from deploy.dev.debian import REPOSITORY
from tests.support.commands import Ran
from tests.support.control_plane import ControlPlane
from tests.support.examples import TypedCommand, commands, examples
from tests.support.shell import shell

PAGE = REPOSITORY / "docs" / "configuration-as-files.md"
SECRETS = {"GHCR_TOKEN": "canary-of-the-page", "STAGING_TOKEN": "canary-of-the-page-2"}
BLOCKS = examples(PAGE)
LINES = [line for block in BLOCKS if block.is_shell for line in commands(block.text)]


def files_of_the_page(folder: Path) -> Mapping[str, str]:
    """Write each YAML block to the file that its first line names."""
    texts = {
        block.text.partition("\n")[0].removeprefix("# "): block.text
        for block in BLOCKS
        if block.language == "yaml"
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    return texts


async def typed(plane: ControlPlane, folder: Path, line: TypedCommand, who: str, seen: str) -> Ran:
    """Type a line of the page, with a fingerprint in the place of its dots."""
    words = [seen if word == "sha256:…" else word for word in line.words[1:]]
    if line.printed_to is not None:
        ran = await shell(plane, *words, operator=who)
        (folder / line.printed_to).write_text(ran.output)
        return ran
    words = [str(folder / word) if word.endswith(".yaml") else word for word in words]
    return await shell(plane, *words, "--no-check", operator=who, settings=SECRETS)


async def test_the_page_is_as_it_says(own_plane: ControlPlane, tmp_path: Path) -> None:
    """From the first plan to the last prune."""
    texts = files_of_the_page(tmp_path)
    assert [*texts] == ["connections.yaml", "staging.yaml"]
    dry, apply, approve, export, schema, staging, expires, prune_plan, prune = LINES
    seen = ""
    assert (await typed(own_plane, tmp_path, dry, "eve", seen)).status == 3
    assert (await typed(own_plane, tmp_path, apply, "alice", seen)).status == 0
    for view in await own_plane.client("eve").list():
        line = expires if view["host"] == "docker.io" else approve
        ran = await typed(own_plane, tmp_path, line, "bob", view["fingerprint"])
        assert (ran.status, "approved" in ran.output) == (0, True), ran
    assert (await typed(own_plane, tmp_path, dry, "eve", seen)).status == 0
    planned = await typed(own_plane, tmp_path, staging, "eve", seen)
    assert planned.status == 3 or "belongs to the set production" in planned.output
    assert (await typed(own_plane, tmp_path, prune_plan, "eve", seen)).status == 0
    assert (await typed(own_plane, tmp_path, prune, "bob", seen)).status == 0
    assert (await typed(own_plane, tmp_path, export, "eve", seen)).status == 0
    ran = await shell(own_plane, "apply", "-f", str(tmp_path / "present.yaml"), "--dry-run")
    assert ran.output == "Plan: nothing to do, 3 as wanted.\n"
    assert (await typed(own_plane, tmp_path, schema, "eve", seen)).status == 0
    validator = Draft202012Validator(
        orjson.loads((tmp_path / "connections.schema.json").read_bytes())
    )
    for name in ("connections.yaml", "present.yaml"):
        (document,) = read_yaml(name, (tmp_path / name).read_bytes())
        validator.validate(document.value)


@pytest.mark.parametrize("word", ["--prune", "--take-over", "--allow-commands", "--json", "--wait"])
def test_every_option_is_on_the_page(word: str) -> None:
    """Whoever finds an option in the help finds what it does to connections here."""
    assert word in PAGE.read_text()
