"""`autoopt strategies` and `autoopt doctor`."""

from itertools import groupby

import click


@click.command()
@click.argument("name", required=False)
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def strategies(name: str | None, debug: bool) -> int:
    """Show the catalogue of strategies, or the card of the one called NAME."""
    from rich.table import Table
    from rich.text import Text

    from autoopt.app.catalogue import card, cards
    from autoopt.cli.screen import console_for

    console = console_for(as_json=False)
    if name is None:
        table = Table(box=None)
        for heading in ("strategy", "what it decides", "choices"):
            table.add_column(heading, header_style="dim", overflow="fold", no_wrap=heading == "strategy")
        for topic, entries in groupby(cards(), key=lambda entry: entry.topic):
            table.add_row(Text(topic, style="bold"))
            for entry in entries:
                table.add_row(f"  {entry.name}", entry.headline, Text(entry.choices, style="dim"))
        console.print(table)
        console.print(Text("autoopt strategies NAME shows a whole card: ranges, defaults, when it helps", style="cyan"))
        return 0
    entry = card(name)
    console.print(Text(f"{entry.name} ({entry.topic})", style="bold"))
    console.print(Text(entry.text))
    console.print()
    table = Table(box=None)
    for heading in ("for --set", "values", "default", "what it is"):
        table.add_column(heading, header_style="dim", overflow="fold", no_wrap=heading == "for --set")
    for item in entry.fields:
        table.add_row(item.name, item.values, item.default, Text(item.summary, style="dim"))
    console.print(table)
    return 0


@click.command()
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def doctor(debug: bool) -> int:
    """Show what this machine offers, what is missing, and how to get it."""
    from autoopt.app.catalogue import doctor_rows
    from autoopt.cli.screen import console_for, print_rows

    print_rows(console_for(as_json=False), doctor_rows())
    return 0
