"""`autoopt ui`."""

import click

from autoopt.cli.shared import place_options, places


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), help="Default: 5000, or the next free one.")
@place_options
def ui(port: int | None, debug: bool, home: str | None, storage: str | None, tracking_uri: str | None) -> int:
    """Open the MLflow UI on loopback, on the database of these studies; Ctrl-C ends it."""
    from autoopt.app.tracking import serve_ui

    return serve_ui(places(home, storage, tracking_uri), port, say=click.echo)
