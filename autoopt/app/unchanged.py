"""Whether what a study learns from is still what it began with, asked when it goes on."""

from datetime import UTC, datetime

from autoopt.app.context import StudyContext
from autoopt.errors import StudyError
from autoopt.files import user_path
from autoopt.ledger import StudyRow


def check_own_module(context: StudyContext) -> None:
    """A module of the user's own is loaded anew by every training: it must be the one that the study began with.

    Raises StudyError when its files, its weights (where it came trained) or its training rows are others, DataError for
    what its code raises.
    """
    facts, name = context.facts, context.study.name
    if facts.module_facts is None:
        return
    from autoopt.task.module.trained import other_weights
    from autoopt.task.module.unchanged import open_train, other_files, other_rows

    reason = other_files(facts) or other_weights(facts) or other_rows(facts, open_train(facts))
    if reason:
        how = f"Or put it back and resume; what {name!r} has found is exported by: autoopt export {name} FOLDER"
        raise StudyError(f"{reason} {how}")


def newer_source(study: StudyRow) -> str:
    """The path that the study's data came from, if it was written to after they were read; else ''.

    Of a folder: itself or one right below it.
    """
    source = user_path(str(study.spec["source"]))
    began = datetime.fromisoformat(study.created_at)
    try:
        places = [source, *(p for p in source.iterdir() if p.is_dir())] if source.is_dir() else [source]
        newest = max(place.stat().st_mtime for place in places)
    except OSError:  # not there any more, or no path at all, as a demo's name
        return ""
    return str(source) if datetime.fromtimestamp(newest, UTC) > began else ""
