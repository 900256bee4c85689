"""`autoopt db`."""

import click

from autoopt.cli.shared import place_options, places


@click.group()
def db() -> None:
    """Look after the study database."""


@db.command()
@place_options
def upgrade(debug: bool, home: str | None, storage: str | None, tracking_uri: str | None) -> int:
    """Bring the study database to this version's schema."""
    from autoopt.app.studies import upgrade_database

    click.echo(f"{upgrade_database(places(home, storage, tracking_uri))} has this version's schema.")
    return 0
