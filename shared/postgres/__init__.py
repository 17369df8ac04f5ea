"""How the processes reach PostgreSQL."""
