"""Private keys and secrets that others may read are told, and no longer once nobody may."""

from pathlib import Path

from control_plane.serving.private_keys import PrivateKeys


def test_keys_that_everybody_may_read_are_named_until_they_are_closed(tmp_path: Path) -> None:
    """With the setting, and what to do."""
    paths = {"CONTROL_PLANE_TLS_KEY_FILE": tmp_path / "tls.key", "OTHER": tmp_path / "gone"}
    paths["CONTROL_PLANE_TLS_KEY_FILE"].touch(mode=0o600)
    keys = PrivateKeys(paths)
    for mode, is_told in ((0o600, False), (0o640, False), (0o644, True), (0o400, False)):
        paths["CONTROL_PLANE_TLS_KEY_FILE"].chmod(mode)
        keys.look()
        told = [trouble.words for trouble in keys.troubles()]
        assert bool(told) == is_told
        assert not told or (told[0].startswith("CONTROL_PLANE_TLS_KEY_FILE: every user"))


def test_a_file_of_secrets_is_not_called_a_key(tmp_path: Path) -> None:
    """The targets of webhooks, alone or beside a key."""
    file = tmp_path / "webhooks.yaml"
    file.touch(mode=0o644)
    file.chmod(0o644)
    keys = PrivateKeys({"CONTROL_PLANE_WEBHOOKS_FILE": file})
    keys.look()
    (trouble,) = keys.troubles()
    assert "may read the secrets in it: chmod o-r" in trouble.words
