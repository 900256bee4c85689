"""Classes, and the split where there is one, from the folders that images lie in."""

from collections.abc import Iterable

import numpy as np

from autoopt.errors import DataError, Problem
from autoopt.files import user_path
from autoopt.task.facts import Kind
from autoopt.task.images.found import ENDINGS_TOLD, TABLE_ENDINGS, Found, ImageFile
from autoopt.task.images.labelled import Labelled, few_images, small_classes
from autoopt.task.splits import PART_ALIASES, PARTS
from autoopt.task.targets import MOST_CLASSES, Target, alike
from autoopt.task.wording import count, listed, quoted

CLASS = "class"
"""What the target is called where folders are the classes."""
_WANTED = "Give a folder that has a folder of images for each class"


def labelled_by_folders(found: Found, where: str) -> Labelled:
    """The first level of folders are the classes; or train, valid and test, and the classes the level below.

    `where` is the source as the user wrote it. Raises DataError with all that is wrong.
    """
    if not found.files:
        raise DataError([_no_images(found, where)])
    level, warnings = _levels(found, where), [*found.warnings, *found.other_warnings()]
    files = tuple(f for f in found.files if len(f.folders) > level)
    loose = [f.name for f in found.files if len(f.folders) <= level]
    if not files:
        what = f"{where} has {count(len(loose), 'image')} and no folders of classes."
        mend = f"{_WANTED}, or a table that names them: TABLE.csv --image COLUMN --target COLUMN."
        raise DataError(what, mend)
    if loose:
        warnings.append(f"{count(len(loose), 'image')} beside the folders of classes left out: {listed(loose)}.")
    warnings += _empty(found, files, level)
    target, problems = _target(files, level, where)
    more, few = few_images(where, len(files))
    if problems or more:
        raise DataError([*problems, *more])
    names = np.array([PART_ALIASES.get(f.folders[0].lower(), -1) for f in files], dtype=np.int8)
    given = level == 1 and len(np.unique(names)) > 1
    return Labelled(
        name=found.name,
        files=files,
        target_name=CLASS,
        target=target,
        row_numbers=np.arange(1, len(files) + 1, dtype=np.int64),
        parts=names if given else None,
        split=f"as the folders {_and(k for k in range(3) if (names == k).any())} say" if given else "",
        completes=given,
        warnings=(*warnings, *few, *target.warnings),
    )


def _levels(found: Found, where: str) -> int:
    """How many levels of folders lie above the classes: one where the first are parts of a split, else none."""
    tops = {f.folders[0] for f in found.files if f.folders}
    parts = {top: PART_ALIASES[top.lower()] for top in tops if top.lower() in PART_ALIASES}
    below = any(len(f.folders) > 1 and f.folders[0] in parts for f in found.files)
    if not parts or (len(parts) == 1 and len(tops) > 1):
        return 0  # 'train' alone among others is a class, of vehicles say
    if len(parts) < len(tops):
        others = sorted(tops - set(parts))
        what = f"{where} has the parts {listed(sorted(parts))} and beside them {listed(others)}."
        raise DataError(what, "Either all folders of the first level are parts of a split, or all are classes.")
    if not below:
        what = f"{where} has the parts {listed(sorted(parts))}, and no folders of classes in them."
        raise DataError(what, f"{_WANTED}, or train, valid and test with such folders in each.")
    if 0 not in parts.values():
        what = f"{where} has {listed(sorted(parts))}, and no folder train."
        raise DataError(what, "Add it, or give the folder whose subfolders are the classes.")
    return 1


def _target(files: tuple[ImageFile, ...], level: int, where: str) -> tuple[Target, list[Problem]]:
    labels = [f.folders[level] for f in files]
    classes, values = np.unique(np.array(labels, dtype=object), return_inverse=True)
    names = tuple(str(c) for c in classes)
    kind = Kind.BINARY if len(names) == 2 else Kind.MULTICLASS
    target = Target(kind=kind, values=values.astype(np.int64), classes=names, warnings=alike(CLASS, names))
    if len(names) < 2:
        return target, [_one_class(files, level, names[0], where)]
    if len(names) > MOST_CLASSES:
        what = f"{where} has {len(names):,} folders of images ({listed(names, shown=3)}); "
        what += f"at most {MOST_CLASSES} classes can be learned."
        return target, [Problem(what=what, mend="Is it the right folder? Take rare classes together.")]
    return target, small_classes(target)


def _one_class(files: tuple[ImageFile, ...], level: int, name: str, where: str) -> Problem:
    inner = {f.folders[level + 1] for f in files if len(f.folders) > level + 1}
    hint = f", perhaps its folder {quoted('/'.join(files[0].folders[: level + 1]))}" if len(inner) > 1 else ""
    what = f"{where} has images of only one class, {quoted(name)}: there is nothing to learn."
    return Problem(what=what, mend=f"{_WANTED}{hint}.")


def _empty(found: Found, files: tuple[ImageFile, ...], level: int) -> list[str]:
    """A warning about folders of classes that have no image; one that has some in another part is none of them."""
    filled = {f.folders[level] for f in files}
    bare = {folder[level] for folder in found.folders if len(folder) == level + 1} - filled
    if not bare:
        return []
    return [f"Folders without an image are left out: {listed(sorted(bare))}."]


def _no_images(found: Found, where: str) -> Problem:
    kind = "a folder" if user_path(where).is_dir() else "an archive"
    tables = [name for name in found.others if name.lower().endswith(TABLE_ENDINGS)]
    if tables:
        what = f"{where} is {kind} without images; it holds tables ({listed(tables, shown=3)})."
        mend = f"Give one file: the table itself. {ENDINGS_TOLD}."
        return Problem(what=what, mend=mend)
    held = f"; it holds {listed(found.others, shown=3)}" if found.others else ""
    mend = f"Give one file of a table, or a folder that has a folder of images for each class. {ENDINGS_TOLD}."
    return Problem(what=f"{where} is {kind} without images{held}.", mend=mend)


def _and(parts: Iterable[int]) -> str:
    """'train and test', 'train, valid and test'."""
    names = [PARTS[k] for k in parts]
    return f"{', '.join(names[:-1])} and {names[-1]}"
