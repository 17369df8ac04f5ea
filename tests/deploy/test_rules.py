"""The rules: `promtool` takes them, each alert has both cases, and a section of the runbooks."""

import re
import subprocess
from pathlib import Path
from typing import Final

import promql_parser
import pytest
import yaml

from deploy.dev.debian import REPOSITORY, program
from tests.support.rules import (
    OBSERVABILITY,
    RULES,
    RULES_TESTS,
    Json,
    alerts,
    named_in,
    recorded,
    rules,
)
from tests.unit.test_pages import headings

RUNBOOKS: Final = REPOSITORY / "docs" / "runbooks.md"
ALERTS: Final = alerts()


def promtool(*arguments: str) -> str:
    """Return what promtool said; it found nothing wrong."""
    command = [str(program("promtool", "prometheus")), *arguments]
    answer = subprocess.run(command, cwd=OBSERVABILITY, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def cases() -> list[Json]:
    """Return what each case of the rules' own tests expects of one alert."""
    tests = [test for path in RULES_TESTS for test in yaml.safe_load(path.read_text())["tests"]]
    return [case for test in tests for case in test["alert_rule_test"]]


def test_prometheus_takes_the_rules() -> None:
    """With every finding of its linter."""
    assert f"{len(rules())} rules found" in promtool("check", "rules", "--lint=all", RULES.name)


def test_the_rules_do_as_their_cases_say() -> None:
    """Labels and words of what fires, and nothing where nothing should."""
    said = promtool("test", "rules", *(path.name for path in RULES_TESTS))
    assert said.count("SUCCESS") == len(RULES_TESTS)


def test_prometheus_takes_the_configuration_of_the_page(tmp_path: Path) -> None:
    """Whose jobs are those that the rules name."""
    (text,) = re.findall(r"```yaml\n(.*?)```", (OBSERVABILITY / "README.md").read_text(), re.DOTALL)
    (tmp_path / "prometheus.yml").write_text(text)
    (tmp_path / RULES.name).symlink_to(RULES)
    assert "SUCCESS" in promtool(
        "check", "config", "--syntax-only", str(tmp_path / "prometheus.yml")
    )
    jobs = [job["job_name"] for job in yaml.safe_load(text)["scrape_configs"]]
    assert jobs == ["facade", "control-plane"]


def test_a_case_that_is_wrong_is_found(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A check that finds nothing would prove nothing."""
    tests = yaml.safe_load(RULES_TESTS[0].read_text())
    fires = next(t for t in tests["tests"] if t["alert_rule_test"][0]["exp_alerts"])
    fires["alert_rule_test"][0]["exp_alerts"] = []
    tests |= {"rule_files": [str(RULES)], "tests": [fires]}
    wrong = tmp_path_factory.mktemp("rules") / "wrong.yml"
    wrong.write_text(yaml.dump(tests))
    with pytest.raises(AssertionError, match="FAILED"):
        promtool("test", "rules", str(wrong))


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_has_a_case_that_fires_and_one_that_stays_quiet(name: str) -> None:
    """Of its own; whoever adds an alert finds out here."""
    expected = [bool(case["exp_alerts"]) for case in cases() if case["alertname"] == name]
    assert {True, False} == set(expected)


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_says_what_it_is_and_where_to_look(name: str) -> None:
    """A severity of two, a summary, and a link to its own section."""
    alert = ALERTS[name]
    assert alert["labels"].keys() == {"severity"}
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert alert["annotations"]["summary"]
    assert alert["annotations"]["runbook_url"] == f"docs/runbooks.md#{name.lower()}"
    assert name.lower() in headings(RUNBOOKS)


def test_each_section_of_the_runbooks_is_of_an_alert() -> None:
    """In their order, each with what to look at and what to do."""
    sections = re.split(r"^## ", RUNBOOKS.read_text(), flags=re.MULTILINE)[1:]
    assert [section.partition("\n")[0] for section in sections] == list(ALERTS)
    for section in sections:
        assert re.search(r"\*\*Look at\*\*.*\*\*(D|d)o\*\*", section, re.DOTALL)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("record") or rule["alert"])
def test_each_expression_is_parsed_and_names_what_is_made_before_it(rule: Json) -> None:
    """By a second parser; a name with a colon is a recording rule's."""
    promql_parser.parse(rule["expr"])
    assert {name for name in named_in(rule["expr"]) if ":" in name} <= recorded()
