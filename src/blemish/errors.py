"""The errors users see.

Every message names what was found, what was expected and the next step. The command line prints
the message without a traceback and ends with exit code 2; in Python they are ordinary exceptions
under one base class.
"""

from __future__ import annotations


class BlemishError(Exception):
    """Base of every error blemish raises on purpose.

    Example:
        >>> from blemish.errors import BlemishError, DataError
        >>> issubclass(DataError, BlemishError)
        True
    """


class ImageError(BlemishError):
    """A file that cannot be read as an image. The message names the file."""


class UnknownFormatError(ImageError):
    """What was read is no image, or one of a format that blemish does not read."""


class TooManyPixelsError(ImageError):
    """An image with more pixels than the reader was told to accept; nothing was decoded."""


class DataError(BlemishError):
    """A folder or array that is not what its layout promises, or holds too little to work with."""


class ConfigError(BlemishError):
    """An option, name or value that blemish does not know or accept."""


class CalibrationError(BlemishError):
    """Scores from which no limit can be derived."""


class StoreError(BlemishError):
    """An object store that does not answer, refuses, or holds a name that cannot be used."""


class BundleError(BlemishError):
    """A model file that is missing, cut short, altered, or of another schema."""


class TrainingInterruptedError(BlemishError):
    """Training was stopped by the user; the checkpoint can be resumed."""

    #: What the command line ends with, as for any other interrupted program.
    exit_code = 130


class MissingExtraError(BlemishError):
    """A part of blemish whose optional dependencies are not installed.

    Args:
        what: What the user asked for, as the subject of a sentence.
        extra: The extra of the package that provides it.

    Example:
        >>> from blemish.errors import MissingExtraError
        >>> print(MissingExtraError("Training", "train"))
        Training needs packages that are not installed. Run: pip install "blemish[train]"
    """

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(
            f'{what} needs packages that are not installed. Run: pip install "blemish[{extra}]"'
        )
        self.what, self.extra = what, extra

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str]]:
        # As for any exception, but made of other arguments: it crosses between processes.
        return type(self), (self.what, self.extra)


class PictureWarning(UserWarning):
    """That a picture is perhaps not read as it is meant; the prediction's notes say it too."""


def first_line(error: BaseException) -> str:
    r"""The first line of another library's error that says something, else the error's class.

    Example:
        >>> from blemish.errors import first_line
        >>> first_line(ValueError("\n no such operator\n at ...")), first_line(KeyError())
        ('no such operator', 'KeyError')
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
