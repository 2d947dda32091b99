"""What does a mistake in a script say? The sentence of the command line, as ValueError or an error of edgesim's own."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from edgesim.errors import EdgesimError
from edgesim.front_door import missing
from experiments.configuration.command_line import USERS, sentence
from experiments.configuration.suggestions import HELP

P = ParamSpec("P")
T = TypeVar("T")


def in_sentences(function: Callable[P, T]) -> Callable[P, T]:
    """The function, whose errors that a user can mend are of Python's or edgesim's classes, never of Hydra's."""

    @wraps(function)
    def told(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except EdgesimError:
            raise
        except ModuleNotFoundError as error:
            raise missing(error, f"edgesim.{function.__name__}") from error
        except USERS as error:
            raise ValueError(sentence(error).replace(HELP, f"in a shell, edgesim run {HELP}")) from None

    return told
