"""A source of images becomes a task: found, labelled, decoded, split. Nothing is written before `save`."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoopt.errors import DataError, InputError, OptionError, Problem
from autoopt.files import sha256_json, user_path
from autoopt.task.assemble import PreparedTask, fingerprint
from autoopt.task.facts import BackboneFacts, Kind, Modality, TaskFacts, TensorFacts
from autoopt.task.images.archive import find_in_archive
from autoopt.task.images.backbone import read_backbone
from autoopt.task.images.classes import labelled_by_folders
from autoopt.task.images.decoding import LEAST_SIDE, MOST_SIDE, Decoded, decode_all, put_in_order, stored_size
from autoopt.task.images.demo import find_digits
from autoopt.task.images.folder import find_in_folder
from autoopt.task.images.found import Found
from autoopt.task.images.labelled import Labelled, small_classes
from autoopt.task.images.listed import labelled_by_table
from autoopt.task.metrics import Metric, fitting_metric
from autoopt.task.modality import IMAGE_DEMO, modality_of
from autoopt.task.options import TaskOptions
from autoopt.task.snapshot import PartArrays
from autoopt.task.splits import BY_HASH, PARTS, Parts, by_hash, check_parts, seeded
from autoopt.task.wording import SHOWN, count, listed, quoted
from autoopt.values import format_bytes

IMAGE = "image"
"""The name of the input that takes the pixels."""
_DAMAGED_SHARE = 0.05
"""So many of the images may be damaged; they are left out. More, and something else is wrong."""
_TOLD_BYTES = 1 << 30


def prepare_images(source: Any, options: TaskOptions, name: str | None = None) -> PreparedTask:
    """Read a folder, an archive, a table of paths or the demo of images, and make a task of it.

    Raises DataError with every problem found, OptionError for a metric that does not fit.
    """
    problems = _option_problems(options)
    backbone = _backbone(options, problems)
    try:
        labelled = _labelled(source, options, name)
        chosen = fitting_metric(options.metric, labelled.target.kind, labelled.target.classes)
    except DataError as error:
        raise DataError([*problems, *error.problems]) from None
    if problems:
        raise DataError(problems)
    height, width = stored_size(labelled.files, options.image_size)
    decoded = decode_all(labelled.files, height, width)
    warnings = [*labelled.warnings, *_decoding_warnings(labelled, decoded)]
    whole = np.array([k for k in range(len(labelled.files)) if k not in decoded.damaged], dtype=np.int64)
    labelled, words = labelled.take(whole), decoded.words[whole]
    problems = small_classes(labelled.target)
    if problems:
        raise DataError(problems)
    parts, split = _split(labelled, words, options.seed, warnings)
    problems = check_parts(parts, labelled.target, chosen, warnings)
    if chosen.about_positive and labelled.target.kind is Kind.BINARY:
        warnings.append(f"{chosen.name} is about the class {quoted(labelled.target.classes[1])}: the second in order.")
    if problems:
        raise DataError(problems)
    order = _order(parts, words, options.seed)
    put_in_order(decoded.pixels, _permutation(whole[order], len(decoded.pixels)))
    arrays = _arrays(labelled.take(order), parts[order], decoded.pixels)
    task = _task(name or labelled.name, labelled, chosen, arrays, split, options.seed, warnings)
    return task if backbone is None else _beginning_with(task, backbone, options)


def _option_problems(options: TaskOptions) -> list[Problem]:
    size = options.image_size
    if size is None or LEAST_SIDE <= size <= MOST_SIDE:
        return []
    mend = f"Give the pixels a side that images are kept at, {LEAST_SIDE} to {MOST_SIDE}."
    return [Problem(what=f"--image-size {size} cannot be used.", mend=mend)]


def _backbone(options: TaskOptions, problems: list[Problem]) -> BackboneFacts | None:
    """The file of pre-trained weights; what is wrong with it goes to `problems`."""
    if options.backbone is None:
        return None
    try:
        return read_backbone(options.backbone)
    except InputError as error:
        problems += error.problems
        return None


def _beginning_with(task: PreparedTask, backbone: BackboneFacts, options: TaskOptions) -> PreparedTask:
    """The task with pre-trained weights. They are part of what it is: with others, all that is learned is other."""
    facts = replace(task.facts, backbone=backbone, fingerprint=sha256_json([task.facts.fingerprint, backbone.sha256]))
    return replace(task, facts=facts, backbone=user_path(options.backbone or "").absolute())


def refuse_image_options(options: TaskOptions) -> None:
    """Raises OptionError for options of images where the data are none."""
    given = {"--image-size": options.image_size, "--backbone": options.backbone}
    mend = "Leave it out; a table that names images needs --image COLUMN."
    problems = [
        Problem(what=f"{option} {value} is for images, and these data are none.", mend=mend)
        for option, value in given.items()
        if value is not None
    ]
    if problems:
        raise OptionError(problems)


def _labelled(source: Any, options: TaskOptions, name: str | None) -> Labelled:
    if options.image is not None:
        if _is_table(source):
            return labelled_by_table(source, options, name)
        mend = "A folder's classes are its folders: leave --image out, or give the table that names the images."
        raise DataError(f"--image {quoted(options.image)} names a column, and {source} is no table.", mend)
    problems = _column_problems(options)
    try:
        labelled = labelled_by_folders(_found(source), str(source))
    except DataError as error:
        raise DataError([*problems, *error.problems]) from None
    if problems:
        raise DataError(problems)
    return labelled


def _is_table(source: Any) -> bool:
    return modality_of(source, TaskOptions()) is Modality.TABULAR  # asked without --image: what it is by itself


def _column_problems(options: TaskOptions) -> list[Problem]:
    """Options that name columns, where folders say everything."""
    given = {"--target": options.target, "--split-column": options.split_column, "--time-column": options.time_column}
    mend = "Leave it out: folders are the classes, and train, valid and test above them the split."
    return [
        Problem(what=f"{option} {quoted(column)} names a column, and a folder of images has none.", mend=mend)
        for option, column in given.items()
        if column is not None
    ]


def _found(source: Any) -> Found:
    if source == IMAGE_DEMO:
        return find_digits()
    path = user_path(source)
    return find_in_folder(path) if path.is_dir() else find_in_archive(path)


def _decoding_warnings(labelled: Labelled, decoded: Decoded) -> list[str]:
    """What was left out or scaled up. Raises DataError when too many are damaged."""
    rows, damaged = len(labelled.files), decoded.damaged
    warnings = []
    if damaged:
        told = "; ".join(f"{labelled.files[k].name} {reason}" for k, reason in list(damaged.items())[:SHOWN])
        more = f"; and {len(damaged) - SHOWN:,} more" if len(damaged) > SHOWN else ""
        what = f"{len(damaged):,} of {count(rows, 'image')} cannot be read"
        if len(damaged) > _DAMAGED_SHARE * rows:
            mend = f"Correct or remove them; up to {_DAMAGED_SHARE:.0%} damaged images are left out by themselves."
            raise DataError(f"{what}: {told}{more}.", mend)
        warnings.append(f"{what} and are left out: {told}{more}.")
    if decoded.small and min(decoded.pixels.shape[1:3]) > LEAST_SIDE:
        names = [labelled.files[k].name for k in decoded.small]
        warnings.append(
            f"{count(len(names), 'image')} of fewer than {LEAST_SIDE} pixels a side scaled up: {listed(names)}."
        )
    if decoded.pixels.nbytes > _TOLD_BYTES:
        warnings.append(
            f"The pixels take {format_bytes(decoded.pixels.nbytes)} on disk; half the --image-size takes a quarter."
        )
    return warnings


def _split(labelled: Labelled, words: NDArray[np.uint64], seed: int, warnings: list[str]) -> tuple[Parts, str]:
    """The part of each image, and how it came about in a user's words."""
    hashes = seeded(words, seed)
    within = ", within each class" if labelled.target.kind.classifies else ""
    if labelled.parts is None:
        how = f"{BY_HASH} of each image's pixels (seed {seed}){within}; equal images stay together"
        return by_hash(hashes, labelled.target), how
    parts, how = labelled.parts.copy(), labelled.split
    lacking = [k for k in (1, 2) if not (parts == k).any()]
    if lacking and labelled.completes:
        train = np.flatnonzero(parts == 0)
        drawn = by_hash(hashes[train], replace(labelled.target, values=labelled.target.values[train]))
        taken = np.isin(drawn, lacking)
        parts[train[taken]] = drawn[taken]
        names = " and ".join(PARTS[k] for k in lacking)
        how += f"; {names} taken from train by a hash of each image's pixels (seed {seed}){within}"
        warnings.append(f"There is no folder {names}: {count(int(taken.sum()), 'image')} of train are used for it.")
    _tell_twins(parts, words, warnings)
    return parts, how


def _tell_twins(parts: Parts, words: NDArray[np.uint64], warnings: list[str]) -> None:
    """A warning where a given split has images in two parts: quality on them is remembered, not learned."""
    for k in (1, 2):
        twins = int(np.isin(words[parts == k], words[parts == 0]).sum())
        if twins:
            are = "is" if twins == 1 else "are"
            warnings.append(f"{count(twins, 'image')} of {PARTS[k]} {are} in train too, pixel for pixel.")


def _order(parts: Parts, words: NDArray[np.uint64], seed: int) -> NDArray[np.int64]:
    """Part after part, each in the order of hashes: a source is in the order of classes, the first rows should not be.

    Equal images keep the order of the source.
    """
    return np.lexsort((np.arange(len(parts)), seeded(words, seed), parts)).astype(np.int64)


def _permutation(first: NDArray[np.int64], rows: int) -> NDArray[np.int64]:
    """These indices, then all others."""
    return np.concatenate([first, np.setdiff1d(np.arange(rows), first)])


def _arrays(labelled: Labelled, parts: Parts, pixels: NDArray[np.uint8]) -> dict[str, PartArrays]:
    """Rows of each part; the pixels are slices of one array, not copies."""
    arrays = {}
    for k, part in enumerate(PARTS):
        start, end = np.searchsorted(parts, (k, k + 1))
        arrays[part] = PartArrays(
            numbers=np.zeros((end - start, 0)),
            codes=np.zeros((end - start, 0), dtype=np.int32),
            target=labelled.target.values[start:end],
            row_ids=labelled.row_numbers[start:end],
            tensors=(pixels[start:end],),
        )
    return arrays


def _task(
    name: str,
    labelled: Labelled,
    chosen: Metric,
    arrays: dict[str, PartArrays],
    split: str,
    seed: int,
    warnings: list[str],
) -> PreparedTask:
    target, pixels = labelled.target, arrays["train"].tensors[0]
    facts = TaskFacts(
        name=name,
        modality=Modality.IMAGES,
        kind=target.kind,
        metric=chosen.name,
        metric_direction=chosen.direction,
        target=labelled.target_name,
        classes=target.classes,
        numeric_classes=target.numeric_classes,
        columns=(),
        rows={part: len(arrays[part].target) for part in PARTS},
        fingerprint="",
        warnings=tuple(warnings),
        split=split,
        seed=seed,
        tensors=(TensorFacts(name=IMAGE, dtype="uint8", shape=tuple(pixels.shape[1:])),),
    )
    return PreparedTask(facts=replace(facts, fingerprint=fingerprint(facts, (), arrays)), categories=(), parts=arrays)
