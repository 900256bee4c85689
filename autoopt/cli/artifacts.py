"""`autoopt report`, `export`, `predict`, `check`: what is made of a study, and what is done with a bundle."""

import json
import shlex

import click

from autoopt.cli.shared import TARGETS_HELP, duration_option, named, place_options, places

key_option = click.option("--verify-key", metavar="FILE", help="Public Ed25519 key (PEM) that it must be signed with.")
task_option = click.option(
    "--task", metavar="FILE:FUNCTION", help="Of a module that torch cannot trace: its file, whose code is run."
)


@click.command()
@click.argument("study")
@click.option("-o", "--output", required=True, metavar="FILE", help="The page to write, e.g. report.html")
@click.option("--no-images", is_flag=True, help="Show none of the images that were learned from.")
@place_options
def report(
    study: str,
    output: str,
    no_images: bool,
    debug: bool,
    home: str | None,
    storage: str | None,
    tracking_uri: str | None,
) -> int:
    """Write one offline page about STUDY: the front, the history, the trials, what the data were taken for.

    Of a study of images it shows a few of each class. A bundle's own report.html shows none.
    """
    from autoopt.app.artifacts import write_report

    path = write_report(study, places(home, storage, tracking_uri), output, images=not no_images)
    click.echo(f"Wrote {path} ({path.stat().st_size / 1000:.0f} kB); it opens in any browser, offline.")
    return 0


@click.command()
@click.argument("study")
@click.option(
    "--pick", metavar="PICK", default="best", help="best, fastest, smallest, or a trial's number. Default: best"
)
@click.option("-o", "--output", required=True, metavar="FOLDER", help="Where the bundle goes.")
@click.option("--sign", metavar="FILE", help="Sign it with this private Ed25519 key (PEM).")
@click.option("--targets", metavar="A,B", help=TARGETS_HELP)
@click.option(
    "--time", "time_s", metavar="5m", callback=duration_option, help="To find and measure its twin in. Default: 4s"
)
@place_options
def export(
    study: str,
    pick: str,
    output: str,
    sign: str | None,
    targets: str | None,
    time_s: float | None,
    debug: bool,
    home: str | None,
    storage: str | None,
    tracking_uri: str | None,
) -> int:
    """Verify a trial of STUDY and its quantized twin, and write them as a bundle.

    Where int8 loses more than the tolerance, more forms of the twin are tried, as long as there is time: of a network
    also such that learn for some epochs, in int8, or with half the channels, taught by the whole network.
    """
    from rich.text import Text

    from autoopt.app.artifacts import export_bundle
    from autoopt.app.targets import targets_problems
    from autoopt.bundle import has_weights_only
    from autoopt.cli.results import predict_command, print_commands, print_exported, raw_form
    from autoopt.cli.screen import console_for, place

    console = console_for(as_json=False)
    with console.status("verifying, measuring, writing ..."):
        where = places(home, storage, tracking_uri, also=targets_problems(named(targets)))
        folder = export_bundle(study, where, pick, output, sign, named(targets), time_s)
    manifest = json.loads((folder / "manifest.json").read_text())
    print_exported(console, manifest)
    console.print(Text(f"bundle: {place(folder)} (trial {manifest['trial']})", style="bold green"), soft_wrap=True)
    bundle = shlex.quote(place(folder))
    task = manifest["module"]["reference"] if has_weights_only(folder) else ""
    print_commands(console, [predict_command(bundle, raw_form(manifest), task)])
    return 0


@click.command()
@click.argument("bundle")
@click.argument("data")
@click.option("-o", "--output", metavar="FILE", help="A .csv or .parquet file; default: CSV on stdout.")
@click.option(
    "--artifact",
    type=click.Choice(["chosen", "float", "quantized"]),
    default="chosen",
    help="Which graph predicts. Default: chosen, the one that the export settled on.",
)
@task_option
@key_option
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def predict(
    bundle: str, data: str, output: str | None, artifact: str, task: str | None, verify_key: str | None, debug: bool
) -> int:
    """Predict DATA with BUNDLE: columns prediction, and probability_<class> for classifiers.

    DATA is a table; for images a folder, an archive, a single image or a table with a column of paths, and the column
    file names each; for arrays an .npz or .npy file.
    """
    from autoopt.app.artifacts import predict_file

    rows, text = predict_file(bundle, data, output, artifact, task, verify_key)
    if output is None:
        click.echo(text, nl=False)
    else:
        click.echo(f"Wrote {rows:,} predictions to {output}.")
    return 0


@click.command()
@click.argument("bundle")
@task_option
@key_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout, as the last line.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def check(bundle: str, task: str | None, verify_key: str | None, as_json: bool, debug: bool) -> int:
    """Check BUNDLE: hashes, parity of both artifacts on the sample, latency again on this machine, and the fastest."""
    from rich.table import Table
    from rich.text import Text

    from autoopt.app.artifacts import check_folder
    from autoopt.cli.errors import plain
    from autoopt.cli.screen import console_for

    found = check_folder(bundle, task, verify_key)
    console = console_for(as_json)
    table = Table(box=None)
    for heading in ("check", "result", "detail"):
        table.add_column(heading, header_style="dim", overflow="fold")
    for row in found.rows:
        table.add_row(
            row.name,
            Text("ok", style="green") if row.holds else Text("FAILED", style="bold red"),
            Text(plain(row.detail)),  # names of files and libraries, with brackets perhaps: no markup
        )
    console.print(table)
    console.print(Text("The bundle is sound." if found.holds else "The bundle is NOT sound.", style="bold"))
    if as_json:
        click.echo(json.dumps(found.to_json(), allow_nan=False))
    return 0 if found.holds else 1
