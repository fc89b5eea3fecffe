"""Rates of false alarms: what a user may ask for, and the second that follows from the first."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field

from blemish.errors import ConfigError

DEFAULT_FALSE_ALARM_RATE = 0.01
UNSURE_FACTOR = 5
MAX_RATE = 0.5

Rate = Annotated[float, Field(gt=0.0, le=MAX_RATE)]


def checked_rates(false_alarm_rate: float, unsure_rate: float | None) -> tuple[float, float]:
    """Both rates, the second five times the first where not given.

    Raises:
        ConfigError: A rate outside (0, 0.5], or an unsure rate below the false-alarm rate.
    """
    alarm = float(false_alarm_rate)
    if not 0 < alarm <= MAX_RATE:
        raise ConfigError(
            f"The false-alarm rate is {alarm}; it must be above 0 and at most {MAX_RATE}, "
            "e.g. 0.01 for 1 %."
        )
    if unsure_rate is None:
        # In decimals, so that 5 times 7 % is 35 % and not a hair beside it.
        return alarm, min(float(UNSURE_FACTOR * Decimal(repr(alarm))), MAX_RATE)
    unsure = float(unsure_rate)
    if not alarm <= unsure <= MAX_RATE:
        raise ConfigError(
            f"The unsure rate is {unsure}; it must be at least the false-alarm rate ({alarm}) and "
            f"at most {MAX_RATE}."
        )
    return alarm, unsure
