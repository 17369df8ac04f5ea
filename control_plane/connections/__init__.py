"""Connections: requested, checked, edited, approved, revoked, and shown."""
