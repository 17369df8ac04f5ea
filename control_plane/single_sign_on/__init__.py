"""Persons whom an OpenID provider knows: their tokens, their roles, and how they log in and out."""
