"""Every error a user can meet, in one tree.

AutooptError
├── InputError              what the user gave cannot be used: exit code 2, nothing was started
│   ├── DataError           the data file or frame
│   ├── SpaceError          a space, a recipe or a pinned choice
│   └── OptionError         a command-line option or an argument of the Python API
├── StudyError
│   ├── StudyExists         the name is taken: `resume` goes on with it
│   ├── StudyNotFound
│   └── StudyBusy           another process owns the study
├── LedgerError
│   ├── SchemaMismatch      the database was made by another version
│   ├── LedgerUnavailable   the database cannot be reached or written
│   │   └── LedgerNotOpened a command could not even open it: exit code 2, nothing was started
│   └── OwnershipLost       another process took the study over; this one must stop writing
├── BundleError             a bundle is damaged, incomplete or not a bundle
└── StageFailure            a candidate failed inside a worker; becomes a record, never a traceback

A message says what came, what is allowed, and what to do next.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing wrong with an input: what came, and how to mend it."""

    what: str
    mend: str

    def __str__(self) -> str:
        return f"{self.what} {self.mend}".strip()


class AutooptError(Exception):
    """Root of every error that autoopt raises on purpose."""

    exit_code = 1


class InputError(AutooptError, ValueError):
    """Bad input. Carries every problem found, so that all are told at once."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem] | str, mend: str = "") -> None:
        found = [Problem(what=problems, mend=mend)] if isinstance(problems, str) else list(problems)
        self.problems: tuple[Problem, ...] = tuple(found)
        super().__init__("\n".join(str(p) for p in found))


class DataError(InputError):
    """The data cannot be learned from as they are."""


class SpaceError(InputError):
    """A space, a recipe or a pinned choice names something that does not exist or cannot hold."""


class OptionError(InputError):
    """An option's value is not one of those allowed."""


class StudyError(AutooptError):
    """Something about a study's name or owner."""

    exit_code = 2


class StudyExists(StudyError):
    """The study's name is taken."""


class StudyNotFound(StudyError, LookupError):
    """No study has that name in this database."""


class StudyBusy(StudyError):
    """Another live process owns the study."""


class LedgerError(AutooptError):
    """The database said no."""


class SchemaMismatch(LedgerError):
    """The database's schema is not the one this version writes."""

    exit_code = 2


class LedgerUnavailable(LedgerError):
    """The database cannot be reached, or a write did not go through after retries."""


class LedgerNotOpened(LedgerUnavailable):
    """The database that was named cannot be opened, so nothing was started."""

    exit_code = 2


class OwnershipLost(LedgerError):
    """A newer owner has the study: writes with the old epoch are refused."""


class BundleError(AutooptError, ValueError):
    """A bundle is damaged, incomplete, or not a bundle."""

    exit_code = 2


class StageFailure(AutooptError):
    """A candidate cannot be built, trained, deployed or measured. `reason` is a FailureReason value."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)
