"""Scalars of numpy and pandas, and missing values: NaN, NaT and NA, which JSON does not have."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

__all__ = ["Missing", "find_missing", "iso_text", "python_scalar"]


# `jupyter_client.jsonutil.json_clean` writes the `repr` of a float that JSON does not have; numpy 2 has its own.
_WRITTEN_BY_A_KERNEL = re.compile(r"(np\.\w+\()?-?(nan|inf)\)?")


class Missing(str):
    """Stands for a missing value that Python itself does not have: ``NaT`` or ``NA``."""


def python_scalar(value: Any) -> Any:
    """Return a scalar of numpy or pandas as one of Python.

    :returns: a bool, an int, a float, text (also for a moment, in ISO 8601), or :class:`Missing`; every other value as
        it is, also a duration.
    """
    # Without these modules there can be no values of them.
    numpy, pandas = sys.modules.get("numpy"), sys.modules.get("pandas")
    if pandas is not None and value is pandas.NA:
        return Missing("NA")
    if numpy is not None and isinstance(value, numpy.datetime64):
        return Missing("NaT") if numpy.isnat(value) else iso_text(str(value))
    if numpy is not None and isinstance(value, numpy.floating):
        return float(value)
    if (
        numpy is not None
        and isinstance(value, numpy.bool_ | numpy.integer)
        and not isinstance(value, numpy.timedelta64)
    ):
        return value.item()
    if isinstance(value, date):
        return value.isoformat() if value == value else Missing("NaT")
    return value


def iso_text(text: str) -> str:
    """Return the text of a moment in ISO 8601, as numpy and pandas print it, as Python writes it.

    :param text: a date stays a date; digits below a microsecond are kept unless they are zeros.
    """
    if len(text) <= len("2026-11-22"):
        return text
    without_zeros = re.sub(r"(\.\d{6}\d*?)0*(?=\D|\Z)", r"\1", text.replace(" ", "T", 1))
    if re.search(r"\.\d{7}", without_zeros):
        return without_zeros
    try:
        return datetime.fromisoformat(without_zeros).isoformat()
    except ValueError:
        return text


def find_missing(value: Any, place: str, *, is_from_kernel: bool = False) -> str | None:
    """Return what is missing or infinite in a value, with its place, such as ``rows[2]['mean'] is nan``.

    :param value: JSON that may contain NaN, infinities and :class:`Missing`.
    :param place: how the value itself is named.
    :param is_from_kernel: whether a kernel has sent the value as JSON, as it does for scraps. A missing value is then
        the text "nan" or the like.
    :returns: ``None`` when nothing is missing.
    """
    pending = [(value, place)]
    while pending:
        item, where = pending.pop()
        is_text = is_from_kernel and isinstance(item, str) and _WRITTEN_BY_A_KERNEL.fullmatch(item)
        if is_text or isinstance(item, Missing) or (isinstance(item, float) and not math.isfinite(item)):
            return f"{where[:200]} is {item}"
        if isinstance(item, Mapping):
            pending += [(inner, f"{where[:200]}[{str(key)[:100]!r}]") for key, inner in item.items()]
        elif isinstance(item, list | tuple):
            pending += [(inner, f"{where[:200]}[{index}]") for index, inner in enumerate(item)]
    return None
