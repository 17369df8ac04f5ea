"""Devices that may no longer: revoked, lifted, and shown."""
