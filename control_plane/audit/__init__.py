"""Proving the whole log and the whole database: `audit verify`, exports, accepted restores."""
