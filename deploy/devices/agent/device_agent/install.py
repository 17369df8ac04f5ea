"""Pins the root: from now on the device believes what this root leads to, and nothing else."""

from pathlib import Path

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root

from device_agent import journal as journals
from device_agent.config import Configuration
from device_agent.durable import read_bounded, write_whole
from device_agent.errors import ConfigurationError, in_one_line
from device_agent.https import Client
from device_agent.journal import Journal
from device_agent.state_folder import MAX_ROOT_BYTES, StateFolder
from device_agent.store import Store


def install(configuration: Configuration, root: Path, *, again: bool) -> Root:
    """Pin a root and begin a journal. `again`: in place of what was pinned and remembered before.

    ConfigurationError if the root is none, if another one is pinned, or if a certificate is none.
    """
    for peer in (configuration.metadata, configuration.facade):
        Client.of(peer, configuration.limits)
    content = read_bounded(root, MAX_ROOT_BYTES)
    signed = _self_signed(content, root)
    state = StateFolder(configuration.state)
    if state.is_installed and not again:
        if state.read_root() != content:
            raise ConfigurationError(
                "another root is pinned here: --again puts this one in its place"
            )
        return signed
    state.prepare()
    Store(state.store).prepare()
    write_whole(state.root, content, mode=0o444)
    journals.save(state.journal, Journal())
    return signed


def _self_signed(content: bytes, path: Path) -> Root:
    """Return a root that is signed by its own threshold of keys."""
    try:
        metadata = Metadata[Root].from_bytes(content)
        if not isinstance(metadata.signed, Root):
            raise ConfigurationError(f"{path} is no root metadata")
        metadata.signed.verify_delegate(Root.type, metadata.signed_bytes, metadata.signatures)
    except (RepositoryError, ValueError) as error:
        raise ConfigurationError(f"{path}: {in_one_line(error)}") from error
    return metadata.signed
