"""`autoopt strategies` and `autoopt doctor`."""

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
        for heading in ("strategy", "stage", "what", "choices"):
            table.add_column(heading, header_style="dim", overflow="fold")
        for entry in cards():
            table.add_row(entry.name, entry.stage, entry.headline, "\n".join(f.line for f in entry.fields))
        console.print(table)
        console.print(Text("autoopt strategies NAME shows a whole card", style="dim"))
        return 0
    entry = card(name)
    console.print(Text(f"{entry.name} ({entry.stage})", style="bold"))
    console.print(Text(entry.text))
    for item in entry.fields:
        console.print(Text(f"  {item.line}" + (f"  {item.summary}" if item.summary else "")))
    return 0


@click.command()
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def doctor(debug: bool) -> int:
    """Show what this machine offers, what is missing, and how to get it."""
    from autoopt.app.catalogue import doctor_rows
    from autoopt.cli.screen import console_for, print_rows

    print_rows(console_for(as_json=False), doctor_rows())
    return 0
