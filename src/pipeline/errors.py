"""Errors of the user's input, and exit codes.

All problems of an input are reported at once, each as
``error: FILE[field]: got X, expected Y. Fix: Z``.  A stage or command that catches
:class:`InputError` prints it and ends with :data:`EXIT_BAD_INPUT`, before it writes anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

EXIT_BAD_INPUT = 2
EXIT_NON_FINITE_LOSS = 3
EXIT_OUT_OF_MEMORY = 4
EXIT_INTERRUPTED = 5
EXIT_CANNOT_WRITE = 6


@dataclass(frozen=True)
class Problem:
    """One thing wrong with one field of one input.

    ``file`` is the path as the user gave it, ``field`` the key, column or
    property (may be empty), ``got`` and ``expected`` short phrases, ``fix``
    one sentence in the imperative.
    """

    file: str
    field: str
    got: str
    expected: str
    fix: str

    def __str__(self) -> str:
        place = f"{self.file}[{self.field}]" if self.field else self.file
        return printable(f"error: {place}: got {self.got}, expected {self.expected}. Fix: {self.fix}")


class InputError(Exception):
    """One or more problems with the user's input."""

    def __init__(self, problems: Problem | Iterable[Problem]) -> None:
        self.problems = [problems] if isinstance(problems, Problem) else list(problems)
        super().__init__("\n".join(map(str, self.problems)))

    def __reduce__(self) -> tuple[object, ...]:
        return InputError, (self.problems,)


class StageFailureError(Exception):
    """A stage could not finish for a known reason; ``exit_code`` is the code of that kind of failure."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code

    def __reduce__(self) -> tuple[object, ...]:
        return StageFailureError, (str(self), self.exit_code)


class CannotWriteError(StageFailureError):
    """Results cannot be written: no space, a limit on file sizes, a read-only folder."""

    def __init__(self, where: object, got: str, expected: str, fix: str) -> None:
        message = str(Problem(str(where), "", got, expected, f"{fix}, then start again")).removeprefix("error: ")
        super().__init__(message, EXIT_CANNOT_WRITE)


def raise_if_any(problems: Iterable[Problem]) -> None:
    """Raise :class:`InputError` with all ``problems`` when there is at least one."""
    found = list(problems)
    if found:
        raise InputError(found)


def is_out_of_memory(error: BaseException) -> bool:
    """Of the main memory, or of a GPU: torch's own error, known by its name, since most stages run without torch."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def printable(text: str, but: str = "") -> str:
    """Escape control characters, ``but`` those, so that a name in a file or a file's name cannot steer the terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in but else c.encode("unicode_escape").decode() for c in text)
