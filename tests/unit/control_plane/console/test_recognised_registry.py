"""Which registry somebody means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.console.recognised_registry import (
    MAX_PASTED_CHARACTERS,
    login_hint,
    recognise,
)

ECR = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"


@pytest.mark.parametrize(
    "pasted, host, provider, repository",
    [
        ("ghcr.io", "ghcr.io", "static", None),
        (" https://ghcr.io/v2/ ", "ghcr.io", "static", None),
        ("docker pull ghcr.io/team/app:1.4", "ghcr.io", "static", "team/app"),
        ("docker pull --platform=linux/arm64 nginx", "docker.io", "static", "nginx"),
        ("docker pull nginx:1.27", "docker.io", "static", "nginx"),
        ("podman pull docker://library/alpine:3", "docker.io", "static", "library/alpine"),
        ("hub.docker.com", "docker.io", "static", None),
        ("registry.local:5000/a/b@sha256:" + "0" * 64, "registry.local:5000", "static", "a/b"),
        ("localhost:5000", "localhost:5000", "static", None),
        ("localhost/app", "localhost", "static", "app"),
        (f"{ECR}/models/vision:2", ECR, "aws_ecr", "models/vision"),
        (
            "'europe-docker.pkg.dev/project/repo/app'",
            "europe-docker.pkg.dev",
            "google_service_account",
            "project/repo/app",
        ),
        ("https://gcr.io/project", "gcr.io", "google_service_account", "project"),
        ("ghcr.io/Team/App", "ghcr.io", "static", None),
    ],
)
def test_what_people_paste_is_recognised(
    pasted: str, host: str, provider: str, repository: str | None
) -> None:
    """As docker reads it."""
    found = recognise(pasted)
    assert (str(found.host), found.provider, found.repository) == (host, provider, repository)


@pytest.mark.parametrize("pasted", ["", "--all", "http://", "user@ghcr.io/app", "é.example"])
def test_what_names_no_registry_is_refused_in_words(pasted: str) -> None:
    """The words say what to type."""
    with pytest.raises(ValueError, match=r"[a-z]+ [a-z]+"):
        recognise(pasted)


@given(st.text(max_size=MAX_PASTED_CHARACTERS + 10))
def test_any_text_is_a_registry_or_refused(text: str) -> None:
    """Nothing else is raised."""
    try:
        found = recognise(text)
    except ValueError:
        return
    assert str(found.host)


def test_a_hint_is_of_the_registry_or_for_any() -> None:
    """Whoever connects one is told what to ask it for."""
    assert "read:packages" in login_hint("ghcr.io")
    assert "Azure" in login_hint("team.azurecr.io")
    assert "robot" in login_hint("evilghcr.io")
