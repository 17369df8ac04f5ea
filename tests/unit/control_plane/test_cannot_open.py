"""The control plane has no way to open a sealed secret."""

import ast
from pathlib import Path

import control_plane

FOLDER = Path(control_plane.__file__).parent
FORBIDDEN = {
    "open_sealed",
    "load_sealing_private_keys",
    "X25519PrivateKey",
    "load_pem_private_key",
    "decrypt",
}
KEYS_COMMAND = Path("commands/keys.py")  # it makes the pairs, and forgets them
SESSION_SEAL = Path("sessions/session_seal.py")  # under keys of the control plane's own


def names_in(path: Path) -> set[str]:
    """Return every name and attribute that a module uses or imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name):
                found.add(name)
    return found


def test_nothing_but_the_keys_command_touches_a_sealing_private_key() -> None:
    """A thief of the control plane gets no stored secret."""
    modules = {path.relative_to(FOLDER): names_in(path) for path in FOLDER.rglob("*.py")}
    assert len(modules) > 30
    touching = {path for path, names in modules.items() if names & FORBIDDEN}
    assert touching == {KEYS_COMMAND, SESSION_SEAL}
    assert modules[SESSION_SEAL] & FORBIDDEN == {"decrypt"}
    assert modules[KEYS_COMMAND] & FORBIDDEN == {"X25519PrivateKey"}
