"""`autoopt cache`."""

import json

import click

from autoopt.cli.shared import place_options, places


@click.command()
@click.option("--shrink", metavar="2GB", help="Remove what was longest unused until no more than that is left.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout, as the last line.")
@place_options
def cache(
    shrink: str | None,
    as_json: bool,
    debug: bool,
    home: str | None,
    storage: str | None,
    tracking_uri: str | None,
) -> int:
    """Show what is kept of finished stages, so that no training is repeated; make it smaller with --shrink.

    Every search keeps it below 8 GB by itself. What trials on record were deployed as is never removed: rm does that.
    """
    from rich.table import Table

    from autoopt.app.cache import cache_json, cache_rows, shrink_cache
    from autoopt.cli.screen import console_for
    from autoopt.values import format_bytes, format_seconds

    where = places(home, storage, tracking_uri)
    freed = None if shrink is None else shrink_cache(where, shrink)
    rows, console = cache_rows(where), console_for(as_json)
    if freed is not None:
        console.print(f"Removed {format_bytes(freed)}.")
    table = Table(box=None)
    for heading in ("stage", "entries", "size", "of trials on record", "last used"):
        table.add_column(heading, header_style="dim", justify="left" if heading == "stage" else "right")
    for row in rows:
        sizes = (format_bytes(row.size_bytes), format_bytes(row.kept_bytes))
        table.add_row(row.stage, f"{row.entries:,}", *sizes, f"{format_seconds(int(row.idle_s))} ago")
    console.print(table)
    console.print(f"{format_bytes(sum(row.size_bytes for row in rows))} in all")
    if as_json:
        click.echo(json.dumps(cache_json(rows, freed)))
    return 0
