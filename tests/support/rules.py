"""The rules of `deploy/observability/`, and what their expressions and those of dashboards name."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import promql_parser
import yaml

from deploy.dev.debian import REPOSITORY
from deploy.observability.dashboards import BOARDS

Json = dict[str, Any]

OBSERVABILITY: Final = REPOSITORY / "deploy" / "observability"
RULES: Final = OBSERVABILITY / "rules.yml"
RULES_TESTS: Final = [OBSERVABILITY / f"{name}_test.yml" for name in ("rules", "rules_days")]
# What Grafana puts in place of its own words, where all is chosen.
_GRAFANA: Final = {
    "$__rate_interval": "1m",
    "$__range": "1h",
    "$namespace": ".*",
    "$instance": ".*",
}


def rules(path: Path = RULES) -> list[Json]:
    """Return every rule."""
    groups = yaml.safe_load(path.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> dict[str, Json]:
    """Return the alerting rules by name."""
    named = [rule for rule in rules() if "alert" in rule]
    by_name = {rule["alert"]: rule for rule in named}
    assert len(by_name) == len(named)
    return by_name


def recorded() -> set[str]:
    """Return the names that recording rules make."""
    return {rule["record"] for rule in rules() if "record" in rule}


def of_dashboards() -> list[str]:
    """Return the dashboards' expressions as Grafana would send them."""
    found = []
    for board in BOARDS.values():
        for expression in board.expressions():
            sent = expression
            for word, put in _GRAFANA.items():
                sent = sent.replace(word, put)
            assert "$" not in sent
            found.append(sent)
    return found


def selectors(expression: str) -> Iterator[promql_parser.VectorSelector]:
    """Yield every selector of an expression, with its name and matchers."""
    found: list[promql_parser.VectorSelector] = []

    def look(part: promql_parser.Expr) -> None:
        if isinstance(part, promql_parser.VectorSelector):
            found.append(part)
        elif isinstance(part, promql_parser.MatrixSelector):
            found.append(part.vector_selector)

    promql_parser.walk(promql_parser.parse(expression), look)
    yield from found


def named_in(expression: str) -> set[str]:
    """Return the metrics that an expression names; each selector has a name."""
    names = {selector.name for selector in selectors(expression)}
    assert None not in names, expression
    return {name for name in names if name}
