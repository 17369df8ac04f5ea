"""Persons whom an OpenID provider knows."""
