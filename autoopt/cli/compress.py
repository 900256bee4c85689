"""`autoopt compress`."""

import time

import click

from autoopt.app.options import Places
from autoopt.cli.shared import TARGETS_HELP, Number, duration_option, misread, named, place_options, seed_option


@click.command()
@click.argument("source", metavar="MODEL.onnx|BUNDLE/|TASK.py:FUNCTION")
@click.option(
    "--data",
    "rows",
    metavar="ROWS",
    help="Rows for a graph or bundle: .npz, a table, or a folder or archive of images.",
)
@click.option(
    "--target",
    metavar="NAME",
    help="The column or array of labels. Default: a bundle's own; in an .npz file label",
)
@click.option(
    "--metric", metavar="NAME", help="Quality measure. Default: a bundle's own; accuracy; of values rmse, or r2."
)
@click.option("--normalize", metavar="HOW", help="Of images: imagenet, none or 'MEAN;STD'. Default: values 0 to 1")
@click.option("--limit", "limits", multiple=True, metavar="'latency_ms<=2'", help="What must hold; repeatable.")
@click.option(
    "--time", "time_s", metavar="60s", callback=duration_option, help="Wall time, export included. Default: 60s, or 3m"
)
@click.option(
    "--trials",
    type=Number(int),
    metavar="N",
    help="Stop after N forms. Default: the usual ones, as far as they can be of use.",
)
@click.option("--set", "pins", multiple=True, metavar="NAME=VALUE", help="Pin a choice, e.g. quantize=static_int8.")
@click.option("--recipe", metavar="FILE", help="Run just this recipe (a bundle's recipe.yaml).")
@click.option("--study", metavar="NAME", help="The study's name. Default: made of its name.")
@seed_option("Of the split: for a bundle its search's.")
@click.option("--targets", metavar="A,B", help=TARGETS_HELP)
@click.option("--verify-key", metavar="FILE", help="Public Ed25519 key (PEM) that BUNDLE/ must be signed with.")
@click.option("-o", "--output", metavar="FOLDER", help="Where the bundle goes. Default: HOME/bundles/STUDY")
@click.option("--inline", is_flag=True, help="Try forms in this process, one at a time: for debugging.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout, as the last line.")
@place_options
def compress(
    source: str,
    targets: str | None,
    as_json: bool,
    debug: bool,
    home: str | None,
    storage: str | None,
    tracking_uri: str | None,
    **rest: object,
) -> int:
    """Make a trained graph or network of your own smaller and faster, and measure what that costs.

    MODEL.onnx is any ONNX file of opset 13 or later; its inputs and outputs stay what they are. ROWS give the ranges
    for int8 and tell the quality: with labels that of the graph, without how often its forms agree with it. A table's
    columns are named like the inputs, or feed the one input in their order; in an .npz file there is an array for each
    input. The smallest form that is not slower and keeps the limits is exported as model.quantized.onnx, beside the
    file as it came, model.onnx. Unless a limit says else, quality_drop<=0.5% must hold. Forms that only mend a loss of
    quality (other ranges, layers in float, int8 with a fine-tuning) are tried where there is one.

    BUNDLE/ is what `search` or `compress` exported; its float graph is the one. ROWS are as raw as its training data
    were, with the column of labels, or folders of classes, where quality is to be judged by them. The new bundle takes
    the very same rows, and has the same classes and metric.

    TASK.py:FUNCTION gives an autoopt.ModuleTask whose build() loads the trained weights. Its datasets are the rows, and
    some forms learn a little from train: with channels taken out, or with a network that got used to int8.

    \b
    autoopt compress model.onnx --data rows.npz -o small/
    autoopt compress resnet.onnx --data photos/ --normalize imagenet --limit 'quality_drop<=1%'
    autoopt compress scorer.onnx --data rows.csv --target label --limit 'latency_ms<=0.1'
    autoopt compress adult/ --data adult.csv --limit 'quality_drop<=0.2%' -o small/
    autoopt compress my_project/task.py:task --limit 'quality_drop<=0.5%' -o small/
    """
    started = time.monotonic()
    from autoopt.app.compressing import compress_options, understand_compression
    from autoopt.cli.screen import console_for, print_understanding
    from autoopt.cli.searching import searched

    where = Places(home=home, storage=storage, tracking_uri=tracking_uri)
    options = compress_options(source, places=where, misread=misread(), targets=named(targets), **rest)
    understanding = understand_compression(options)
    console = console_for(as_json)
    print_understanding(console, understanding, dry_run=False)
    return searched(console, understanding, started, as_json=as_json)
