"""The one exception that users are meant to read."""

__all__ = ["InputError"]


class InputError(ValueError):
    """Input that cannot be used: one sentence naming the file, row or field and saying what was expected.

    The command line prints the sentence and exits with status 2; everything else lets it pass.
    """
