"""`autoopt search`."""

import json
import time

import click

from autoopt.app.options import Places, SearchOptions
from autoopt.cli.shared import TARGETS_HELP, Number, duration_option, misread, named, place_options, seed_option


@click.command()
@click.argument("data")
@click.option("--target", metavar="COLUMN", help="The column to learn. Demos have one already.")
@click.option(
    "--time", "time_s", metavar="60s", callback=duration_option, help="Wall time, export included. Default: 5m"
)
@click.option("--trials", type=Number(int), metavar="N", help="Stop after N counted trials.")
@click.option("--limit", "limits", multiple=True, metavar="'latency_ms<=1'", help="What must hold; repeatable.")
@click.option("--objectives", metavar="A,B", help="What is optimized. Default: quality,latency_ms,size_bytes")
@click.option("--metric", metavar="NAME", help="Quality measure. Default: roc_auc, accuracy or rmse, by the task.")
@click.option("--study", metavar="NAME", help="The study's name. Default: made of the data's name.")
@click.option("--space", metavar="NAME|FILE", help="Search space. Default: by the data.")
@click.option("--set", "pins", multiple=True, metavar="NAME=VALUE", help="Pin a choice, e.g. model=mlp; repeatable.")
@click.option("--recipe", metavar="FILE", help="Run just this recipe (a bundle's recipe.yaml).")
@seed_option("Of the split, the sampler and the trainings.")
@click.option("--slots", type=Number(int), metavar="N", help="Trials at a time. Default: by the machine.")
@click.option("--memory", metavar="2GB", help="What trials may take together. Default: what the machine can spare.")
@click.option("--split-column", metavar="COLUMN", help="A column that says train, valid or test.")
@click.option("--time-column", metavar="COLUMN", help="Split by time: the newest rows are valid and test.")
@click.option("--text", metavar="A,B", help="Columns of free text to learn from.")
@click.option("--embeddings", metavar="FILE", help="Word vectors to begin with: GloVe's or word2vec's text form.")
@click.option("--image", metavar="COLUMN", help="The column of a table that names image files.")
@click.option(
    "--image-size", type=Number(int), metavar="N", help="Pixels a side to keep images at. Default: by the data."
)
@click.option("--backbone", metavar="FILE", help="Pre-trained weights for images, .safetensors: a ResNet, MobileNetV2.")
@click.option(
    "--tolerance", type=Number(float), metavar="SHARE", default=0.01, help="Loss a twin may have. Default: 0.01"
)
@click.option("--targets", metavar="A,B", help=TARGETS_HELP)
@click.option("-o", "--output", metavar="FOLDER", help="Where the bundle goes. Default: HOME/bundles/STUDY")
@click.option("--dry-run", is_flag=True, help="Show what was understood and what would be searched; run nothing.")
@click.option("--inline", is_flag=True, help="Run trials in this process, one at a time: for debugging.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout, as the last line.")
@place_options
def search(
    data: str,
    objectives: str | None,
    text: str | None,
    targets: str | None,
    dry_run: bool,
    as_json: bool,
    debug: bool,
    home: str | None,
    storage: str | None,
    tracking_uri: str | None,
    **rest: object,
) -> int:
    """Search DATA for the best pipeline, and export it.

    DATA is a .csv, .tsv, .parquet or .h5 file (.gz too); images: a folder, .tar, .tar.gz, .tgz or .zip with a folder
    for each class, or a table that names them (--image); a network of your own: task.py:function; or a demo:
    demo:digits, demo:iris, demo:wine, demo:breast_cancer, demo:diabetes, demo:digit_images.

    \b
    autoopt search demo:digits --time 60s
    autoopt search photos/ --time 10m --limit 'latency_ms<=3'
    autoopt search news.csv --target label --text title,text --time 5m
    autoopt search adult.csv --target income --time 5m --limit 'latency_ms<=1' --limit 'size_bytes<=5MB'
    """
    started = time.monotonic()
    from autoopt.app.understanding import understand
    from autoopt.cli.screen import console_for, print_understanding
    from autoopt.cli.searching import searched

    options = SearchOptions(
        data=data,
        objectives=tuple(x.strip() for x in objectives.split(",")) if objectives is not None else None,
        text=tuple(x.strip() for x in text.split(",")) if text is not None else (),
        targets=named(targets),
        places=Places(home=home, storage=storage, tracking_uri=tracking_uri),
        misread=misread(),
        **rest,  # type: ignore[arg-type]  # click has parsed each to its field's type
    )
    understanding = understand(options)
    console = console_for(as_json)
    print_understanding(console, understanding, dry_run=dry_run)
    if dry_run:
        if as_json:
            click.echo(json.dumps({"study": understanding.study, "dry_run": True, **understanding.spec()}))
        return 0
    return searched(console, understanding, started, as_json=as_json)
