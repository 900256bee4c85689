"""Runs the steps of a check and keeps all that they complain of."""

from collections.abc import Callable
from typing import TypeVar, final

from autoopt.errors import AutooptError, DataError, InputError, OptionError, Problem

T = TypeVar("T")


@final
class Collector:
    """Runs steps that may fail and keeps what they complain of, so that everything is told at once."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        self._others: list[AutooptError] = []  # errors that are not about an input as such: a name, a database
        self._kind: type[InputError] = OptionError

    def attempt(self, step: Callable[[], T]) -> T | None:
        """The step's result; None when it failed."""
        try:
            return step()
        except InputError as error:
            self.problems.extend(error.problems)
            if isinstance(error, DataError):
                self._kind = DataError
        except AutooptError as error:
            self._others.append(error)
            self.problems.append(Problem(what=str(error), mend=""))
        except OSError as error:  # a path that no file system takes
            self.problems.append(Problem(what=f"{error.strerror}: {error.filename}.", mend="Give another path."))
        return None

    def raise_all(self) -> None:
        """What was found, if anything: one error with all problems, or the only one as it came."""
        if len(self.problems) == len(self._others) == 1:
            raise self._others[0]
        if self.problems:
            raise self._kind(self.problems)
