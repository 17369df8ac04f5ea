"""Alembic's entry: run the revisions on the connection that `database.migrate` hands over.

There is no offline mode and no URL here; the transaction, the lock and the roles are the caller's.
"""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
