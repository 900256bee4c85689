"""`autoopt bench`: how fast bundles are, against each other."""

import json

import click

from autoopt.cli.artifacts import task_option
from autoopt.cli.shared import duration_option, misread


@click.command()
@click.argument("bundles", nargs=-1, required=True, metavar="BUNDLE [OTHER ...]")
@click.option("--rows", metavar="1,16,256", default="1,16,256", help="Rows of a call. Default: 1,16,256")
@click.option("--threads", metavar="1,2", help="Threads of a call. Default: 1 and all that there are")
@click.option("--time", "time_s", metavar="10s", callback=duration_option, help="Of measuring. Default: 10s")
@task_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout, as the last line.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def bench(
    bundles: tuple[str, ...],
    rows: str,
    threads: str | None,
    time_s: float | None,
    task: str | None,
    as_json: bool,
    debug: bool,
) -> int:
    """Measure the artifacts of one BUNDLE, or of several, in turns: latency, rows a second, memory, time to load.

    All take turns in short bursts, so that the machine's moods strike them alike; `x` is how many times the first
    one's speed each has, with as many rows and threads.
    """
    from autoopt.app.benching import bench_folders
    from autoopt.cli.bench_tables import loads_table, speeds_table
    from autoopt.cli.screen import console_for

    console = console_for(as_json)
    with console.status("measuring ..."):
        found = bench_folders(bundles, rows=rows, threads=threads, seconds=time_s or 10.0, task=task, misread=misread())
    console.print(speeds_table(found))
    console.print()
    console.print(loads_table(found))
    if not found.alone:
        console.print("Something else of autoopt measured on this machine meanwhile: take these figures as guesses.")
    if as_json:
        click.echo(json.dumps(found.to_json(), allow_nan=False))
    return 0
