"""What whoever runs the tests has set for other programs does not reach them."""

import pytest

from tests.support.surroundings import leave_out

LOOPBACK = "127.0.0.1,localhost,::1"


@pytest.mark.parametrize(
    "given, left",
    [
        ({"PATH": "/bin", "HOME": "/root", "FAULTS": "all"}, None),
        ({"AWS_PROFILE": "x", "AWS_CA_BUNDLE": "/a", "PGHOST": "x", "DOCKER_CONFIG": "/a"}, {}),
        ({"FACADE_LOG_LEVEL": "x", "CONTROL_PLANE_TOKEN": "x", "REQUESTS_CA_BUNDLE": "/a"}, {}),
        (
            {"HTTPS_PROXY": "http://proxy"},  # apt may need it
            {"HTTPS_PROXY": "http://proxy", "no_proxy": LOOPBACK, "NO_PROXY": LOOPBACK},
        ),
        (
            {"http_proxy": "http://proxy", "NO_PROXY": "a.example"},
            {
                "http_proxy": "http://proxy",
                "no_proxy": LOOPBACK,
                "NO_PROXY": f"a.example,{LOOPBACK}",
            },
        ),
    ],
)
def test_the_environment_holds_nothing_that_libraries_read_unasked(
    given: dict[str, str], left: dict[str, str] | None
) -> None:
    """And a proxy is not asked for this machine's own servers."""
    environment = dict(given)
    leave_out(environment)
    assert environment == (given if left is None else left)
