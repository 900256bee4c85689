"""What a user may ask of a search, as one frozen value; the command line and the Python API both make it."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autoopt.errors import OptionError, Problem
from autoopt.files import Home
from autoopt.values import format_bytes, parse_bytes

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_TIME_S = 300.0
MOST_TRIALS = 1_000_000
LEAST_MEMORY_BYTES = 200_000_000
NO_TRACKING = "none"
"""As --tracking-uri: MLflow is told nothing by this command."""
TRACKING_VARIABLE = "AUTOOPT_TRACKING_URI"


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where things are kept: the home folder, the study database, the tracking server."""

    home: str | None = None
    storage: str | None = None  # database URL; default: SQLite in the home folder
    tracking_uri: str | None = None  # MLflow, or NO_TRACKING; default: the variable's, else SQLite in the home

    @property
    def database_url(self) -> str:
        """The study database."""
        return self.storage or Home.locate(self.home).database_url

    @property
    def tracking_url(self) -> str | None:
        """MLflow's server or database; None where it is told nothing."""
        uri = self.tracking_uri or os.environ.get(TRACKING_VARIABLE) or Home.locate(self.home).tracking_url
        return None if uri == NO_TRACKING else uri

    def problems(self) -> list[Problem]:
        """Places that were named by an empty text: an unset variable in a script, never a wish."""
        given = {"--home": self.home, "--storage": self.storage, "--tracking-uri": self.tracking_uri}
        return [_empty(option) for option, text in given.items() if text is not None and not text.strip()]


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """Everything that shapes a study. Units: seconds, relative tolerance."""

    data: "str | Path | pd.DataFrame"
    target: str | None = None
    time_s: float | None = None
    trials: int | None = None
    limits: tuple[str, ...] = ()
    objectives: tuple[str, ...] | None = None
    metric: str | None = None
    study: str | None = None
    space: str | None = None
    pins: tuple[str, ...] = ()  # 'name=value'
    recipe: str | None = None  # path of a recipe.yaml: run just that
    seed: int = 0
    slots: int | None = None
    memory: str | None = None  # what trials may take together, like '2GB'
    split_column: str | None = None
    time_column: str | None = None
    text: tuple[str, ...] = ()  # columns of free text
    embeddings: str | Path | None = None  # file of word vectors: GloVe's or word2vec's text form
    image: str | None = None  # the column that names image files
    image_size: int | None = None  # pixels a side that images are kept at
    backbone: str | Path | None = None  # file of pre-trained weights for images
    rows: str | Path | None = None  # that a graph of the user's own, given as `data`, is compressed on
    normalize: str | None = None  # of images for such a graph
    verify_key: str | Path | None = None  # of a bundle in place of such a graph: what it must be signed with
    trained: bool = False  # of a module of the user's own: it comes with its trained weights
    tolerance: float = 0.01
    pick: str = "best"  # what is exported at the end
    targets: tuple[str, ...] | None = None  # runtimes that may serve the bundle; None: those that are installed
    output: str | None = None  # where the bundle goes; default: home/bundles/STUDY
    inline: bool = False  # no processes: for debugging
    places: Places = Places()
    misread: tuple[Problem, ...] = ()  # what the command line could not even parse, to be told with all the rest

    def problems(self) -> list[Problem]:
        """What is wrong with the options themselves, before anything is read."""
        return [
            *self.misread,
            *self.places.problems(),
            *self._empty_texts(),
            *self._wrong_numbers(),
            *self._wrong_memory(),
            *self._wrong_targets(),
            *self._clashes(),
        ]

    @property
    def memory_bytes(self) -> int | None:
        """Of `memory`. Raises OptionError."""
        return None if self.memory is None else parse_bytes(self.memory, option="--memory")

    def _empty_texts(self) -> list[Problem]:
        given = {"--space": self.space, "--recipe": self.recipe, "--backbone": self.backbone}
        given["--embeddings"] = self.embeddings
        return [_empty(option) for option, text in given.items() if text is not None and not str(text).strip()]

    def _wrong_numbers(self) -> list[Problem]:
        found: list[Problem] = []
        if self.trials is not None and not 1 <= self.trials <= MOST_TRIALS:
            found.append(
                Problem(what=f"--trials {self.trials} is no number of trials.", mend=f"Give 1 to {MOST_TRIALS}.")
            )
        if self.time_s is not None and not self.time_s > 0:
            found.append(Problem(what=f"--time {self.time_s} is no duration.", mend="Write it like 60s or 5m."))
        if not 0 <= self.tolerance < 1:
            mend = "Give the loss that a twin may have, 0 to 1: 0.01 is one percent."
            found.append(Problem(what=f"--tolerance {self.tolerance:g} is no share.", mend=mend))
        if not 0 <= self.seed < 2**31:
            found.append(Problem(what=f"--seed {self.seed} cannot be used.", mend="Give 0 to 2147483647."))
        return found

    def _wrong_memory(self) -> list[Problem]:
        try:
            given = self.memory_bytes
        except OptionError as error:
            return list(error.problems)
        if given is None or given >= LEAST_MEMORY_BYTES:
            return []
        what = f"--memory {self.memory}: the libraries of a trial alone take more."
        return [Problem(what=what, mend=f"Give {format_bytes(LEAST_MEMORY_BYTES)} or more.")]

    def _wrong_targets(self) -> list[Problem]:
        if self.targets is None:
            return []
        from autoopt.app.targets import targets_problems  # which loads onnxruntime

        return targets_problems(self.targets)

    def _clashes(self) -> list[Problem]:
        found: list[Problem] = []
        if self.memory is not None and self.inline:
            what = "--memory bounds the processes of trials, and --inline runs them without."
            found.append(Problem(what=what, mend="Leave one of them out."))
        if self.recipe is not None and self.pins:
            found.append(
                Problem(what="--recipe fixes every choice, so --set cannot change one.", mend="Leave one of them out.")
            )
        if self.recipe is not None and self.trials not in (None, 1):
            found.append(Problem(what="--recipe runs one recipe: one trial.", mend="Leave --trials out."))
        return found


def trials_problems(trials: int | None) -> list[Problem]:
    """What is wrong with --trials."""
    if trials is None or 1 <= trials <= MOST_TRIALS:
        return []
    return [Problem(what=f"--trials {trials} is no number of trials.", mend=f"Give 1 to {MOST_TRIALS}.")]


def _empty(option: str) -> Problem:
    return Problem(what=f"{option} was given an empty text.", mend=f"Give {option} a value, or leave it out.")


def raise_all(problems: list[Problem]) -> None:
    """One OptionError for everything found, if anything was."""
    if problems:
        raise OptionError(problems)
