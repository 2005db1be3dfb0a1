"""Every error that is not a bug of ours, each a branch of "whose fault".

    SaccadeError
    ├── DataError            the user's pictures, labels or tables
    │   └── PictureError     one picture that cannot be used; the scan catches it and goes on
    ├── SettingsError        the user's options, arguments or places to write
    ├── BundleError          a model file that is damaged, hostile or too new
    └── MissingExtraError    a part of Saccade that is not installed

The command line prints one line and exits with code 2; anything else is our bug and keeps its
traceback. A message says what was got, what was wanted, what to do, and where.
"""


class SaccadeError(Exception):
    """What the user can mend; the command line shows it as one line and exits with code 2."""


class DataError(SaccadeError):
    """The user's pictures, labels or tables do not allow what was asked."""


class PictureError(DataError):
    """One picture cannot be used; the message is the reason, without the picture's path."""


class SettingsError(SaccadeError):
    """An option, an argument or a place to write does not allow what was asked."""


class BundleError(SaccadeError):
    """A model file is damaged, hostile, or written by a newer version."""


class MissingExtraError(SaccadeError):
    """A part of Saccade that this needs is not installed; the message holds the command."""

    def __init__(self, *, needed_for: str, extra: str) -> None:
        super().__init__(
            f"{needed_for} needs packages that are not installed: pip install 'saccade[{extra}]'"
        )
