"""The containers that the other tests stand on."""

from deploy.dev.podman import Podman


def test_a_container_runs_with_nothing_but_its_own_network(podman: Podman, busybox: str) -> None:
    """Two of them meet on one loopback, and no address of the machine is theirs."""
    with podman.start(busybox, "sleep", "300", options=["--network=none"]) as first:
        beside = f"--network=container:{first.name}"
        addresses = podman.run("run", "--rm", beside, busybox, "ip", "-o", "addr")
        assert {line.split()[1] for line in addresses.splitlines()} == {"lo"}
        first.write("/told", b"a canary")
        assert first.run("cat", "/told") == "a canary"
    left = podman.run("ps", "--all", "--quiet")
    assert left == ""
