"""`autoopt resume`."""

import time

import click

from autoopt.cli.shared import TARGETS_HELP, Number, duration_option, named, place_options, places


@click.command()
@click.argument("study")
@click.option("--time", "time_s", metavar="2m", callback=duration_option, help="Add this much wall time.")
@click.option("--trials", type=Number(int), metavar="N", help="Add N trials.")
@click.option("--targets", metavar="A,B", help=TARGETS_HELP)
@click.option("-o", "--output", metavar="FOLDER", help="Where the bundle goes. Default: HOME/bundles/STUDY")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout, as the last line.")
@place_options
def resume(
    study: str,
    time_s: float | None,
    trials: int | None,
    targets: str | None,
    output: str | None,
    as_json: bool,
    debug: bool,
    home: str | None,
    storage: str | None,
    tracking_uri: str | None,
) -> int:
    """Go on with STUDY from the database: after Ctrl-C, a kill, a reboot, or with more budget.

    Without --time and --trials it spends what is left of the budget; a finished study is exported again.
    """
    started = time.monotonic()
    from autoopt.app.checks import resume_problems
    from autoopt.app.launch import run_resume
    from autoopt.app.study import Study
    from autoopt.cli.live import watcher
    from autoopt.cli.results import print_outcome
    from autoopt.cli.screen import console_for, print_resuming
    from autoopt.values import Budget

    where = places(home, storage, tracking_uri, also=resume_problems(trials, output, named(targets)))
    more = Budget(seconds=time_s, trials=trials)
    stored = Study(study, where)
    console = console_for(as_json)
    budget = print_resuming(console, stored, more)
    earlier = (stored.row.spent_s, stored.trials)
    about = (stored.context.facts, stored.context.space, budget)
    with watcher(console, *about, started, *earlier) as observer:
        outcome = run_resume(
            study, where, more=more, output=output, targets=named(targets), started=started, observer=observer
        )
    return print_outcome(console, outcome, as_json=as_json)
