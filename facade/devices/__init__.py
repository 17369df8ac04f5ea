"""Devices at the door: handshake, certificate, identity, revocation, open connections."""
