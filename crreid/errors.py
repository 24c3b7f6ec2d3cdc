"""What users are meant to read: one exception, and one line on Ctrl-C."""

import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import SequenceMatcher


class InputError(ValueError):
    """Input that cannot be used: one sentence naming the file, row or field and saying what was expected.

    The command line prints the sentence and exits with status 2; everything else lets it pass.
    """


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return the end of a sentence about an unknown name: the names that there are, and the one that is like it."""
    known = list(names)

    def likeness(other: str) -> float:
        beginnings = (other, other[: len(name)])  # most who mistype a long name have not written it to its end
        return max(SequenceMatcher(None, name.lower(), each.lower()).ratio() for each in beginnings)

    close = max(known, key=likeness, default="")
    hint = f"; did you mean {close!r}?" if close and likeness(close) > 0.6 else ""
    return f"; expected one of {', '.join(known)}{hint}"


@contextmanager
def without_interrupts() -> Iterator[None]:
    """Start processes that Ctrl-C leaves to their parent: it says so in one line, and they end with it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
