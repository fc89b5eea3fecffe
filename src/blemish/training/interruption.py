"""How a training that the user stopped ends."""

from __future__ import annotations

from blemish.errors import BlemishError


class TrainingInterruptedError(BlemishError):
    """Training was stopped by the user; the checkpoint can be resumed."""

    #: What the command line ends with, as for any other interrupted program.
    exit_code = 130
