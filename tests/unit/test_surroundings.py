"""What whoever runs the tests has set for other programs does not reach them."""

from pathlib import Path

import pytest

from tests.support.mounts import without_programs
from tests.support.surroundings import executable_folder, leave_out

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


def test_temporary_files_are_where_programs_may_be_run(tmp_path: Path) -> None:
    """A machine may forbid it in its own temporary folder."""
    forbidden, other = tmp_path / "forbidden", tmp_path / "other" / "folder"
    with without_programs(forbidden):
        assert executable_folder([forbidden, other]) == other
        with pytest.raises(OSError, match="neither"):
            executable_folder([forbidden])
    assert executable_folder([forbidden, other]) == forbidden
