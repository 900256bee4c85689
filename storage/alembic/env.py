"""Alembic's entry: runs revisions on the connection that autoopt.ledger.migrations hands over.

There is no alembic.ini and no offline mode: the one caller is `autoopt db upgrade` (and the making of a new database).
"""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, version_table=context.config.attributes["version_table"])
context.run_migrations()  # inside the caller's transaction, on SQLite too: half an upgrade rolls back
