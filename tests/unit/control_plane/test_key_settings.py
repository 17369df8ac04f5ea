"""Every command's key files: which variable is wrong, what it holds, what belongs there."""

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from control_plane.commands.running import load_key, load_signer
from control_plane.proof.sealer import Sealer
from control_plane.proof.signer import Verifier
from shared.environment import ConfigurationError
from shared.keys import private_pem, public_pem

STATEMENT, SEALING = Ed25519PrivateKey.generate(), X25519PrivateKey.generate()
FILES = {
    "statement.private.pem": private_pem(STATEMENT),
    "statement.public.pem": public_pem(STATEMENT.public_key()),
    "sealing.private.pem": private_pem(SEALING),
    "sealing.public.pem": public_pem(SEALING.public_key()),
}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `control-plane keys` writes."""
    folder = tmp_path_factory.mktemp("keys")
    for name, pem in FILES.items():
        (folder / name).write_bytes(pem)
    return folder


def problem_of(load: Callable[[], object]) -> str:
    """Return the one problem with which a command exits."""
    with pytest.raises(ConfigurationError) as refused:
        load()
    (problem,) = refused.value.problems
    return problem


@pytest.mark.parametrize("name", sorted(FILES.keys() - {"statement.private.pem"}))
def test_another_file_as_the_statement_keys_private_half(keys: Path, name: str) -> None:
    """Of `serve`, `operators` and `audit`."""
    problem = problem_of(lambda: load_signer(keys / name, None))
    assert problem.startswith("CONTROL_PLANE_STATEMENT_PRIVATE_KEY_FILE: it holds an ")
    assert "as in statement.private.pem" in problem


@pytest.mark.parametrize("name", sorted(FILES.keys() - {"statement.public.pem"}))
def test_another_file_as_the_statement_keys_public_halves(keys: Path, name: str) -> None:
    """Of `serve` and `operators`."""
    problem = problem_of(lambda: load_signer(keys / "statement.private.pem", keys / name))
    assert problem.startswith("CONTROL_PLANE_STATEMENT_PUBLIC_KEY_FILE: it holds an ")
    assert "as in statement.public.pem" in problem


@pytest.mark.parametrize("name", ["sealing.private.pem", "sealing.public.pem"])
def test_another_file_for_audit_asks_for_the_public_half(keys: Path, name: str) -> None:
    """It takes either half, and asked for the private one whatever was wrong."""
    load = lambda: load_key("statement_public_key_file", keys / name, Verifier.from_pem)  # noqa: E731
    problem = problem_of(load)
    assert problem.startswith("CONTROL_PLANE_STATEMENT_PUBLIC_KEY_FILE: it holds an X25519 ")
    assert "as in statement.public.pem" in problem


@pytest.mark.parametrize("name", sorted(FILES.keys() - {"sealing.public.pem"}))
def test_another_file_as_the_sealing_keys_public_half(keys: Path, name: str) -> None:
    """Of `serve`: above all the private half, which it must not have."""
    problem = problem_of(lambda: load_key("sealing_public_key_file", keys / name, Sealer.from_pem))
    assert problem.startswith("CONTROL_PLANE_SEALING_PUBLIC_KEY_FILE: it holds an ")
    assert "as in sealing.public.pem" in problem
