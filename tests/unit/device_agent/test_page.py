"""What the agent's page says of refusals is what the agent says."""

import re

from deploy.dev.debian import REPOSITORY

AGENT = REPOSITORY / "deploy" / "devices" / "agent"
HEADING = "## What a refusal means"
FILLED_IN = re.compile(r"…|\b[NM]\b|SLOT|linux/|40[34]")  # what stands in a sentence for others


def test_each_sentence_of_the_table_is_one_of_the_agents() -> None:
    """Whoever looks for the words of a log must find them, also after somebody has changed them."""
    code = "".join(path.read_text("utf-8") for path in (AGENT / "device_agent").rglob("*.py"))
    _, _, after = (AGENT / "README.md").read_text("utf-8").partition(HEADING)
    table = after.partition("\n## ")[0].splitlines()
    said = [cell for line in table for cell in re.findall(r"`([^`]+)`", line.split(" | ")[0])]
    sentences = [each for each in said if " " in each and not each.startswith(("device-", "jour"))]
    assert len(sentences) > 20
    parts = [part.strip() for each in sentences for part in FILLED_IN.split(each)]
    assert [part for part in parts if part not in code] == []
