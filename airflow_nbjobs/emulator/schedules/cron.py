"""Cron expressions of five fields, with a time zone before them: ``TZ=Europe/Berlin 0 6 * * *``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from croniter import croniter

_FIELD = r"(?:[0-9*,/-]|[A-Za-z]{3})+"
_FORM = re.compile(rf"(?:(?:CRON_)?TZ=(?P<zone>\S+)\s+)?(?P<fields>{_FIELD}(?:\s+{_FIELD}){{4}})")


@dataclass(frozen=True)
class Cron:
    """The times of a cron expression. A day matches by its number or by its weekday when both are given.

    :ivar fields: the five fields.
    """

    fields: str
    zone: ZoneInfo

    @classmethod
    def parse(cls, text: str) -> Cron:
        """Read an expression.

        :raises ValueError: when it is malformed, its time zone is unknown, or it has no time at all.
        """
        match = _FORM.fullmatch(text.strip())
        if not match:
            raise ValueError("it must have five fields, after TZ=ZONE or CRON_TZ=ZONE if there is one")
        try:
            zone = ZoneInfo(match["zone"] or "UTC")
        except (KeyError, ValueError, OSError):  # OSError: the name of a folder, or one that is too long
            raise ValueError(f"{match['zone']!r} is not a time zone of the IANA database") from None
        cron = cls(match["fields"], zone)
        cron.next_after(0)
        return cron

    def next_after(self, moment: int) -> int:
        """Return the first time after a moment, both in nanoseconds since the epoch.

        :raises ValueError: if the expression has no time in the next fifty years.
        """
        begin = datetime.fromtimestamp(moment // 10**9, self.zone)
        return int(croniter(self.fields, begin).get_next(float)) * 10**9
