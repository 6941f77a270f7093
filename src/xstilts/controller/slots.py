"""The times of a schedule: a cron expression in a time zone, asked for one time at a time. Pure.

cronsim walks the clock of the zone by the rules of Debian's cron where a clock is turned:

- An expression that names minutes and hours (`30 2 * * *`) runs once a day. A time that the clock leaps over comes
  when it lands (02:30 at 03:00), several of them as one; of an hour that comes twice the first counts.
- An expression whose minute or hour is a star (`*/15 * * * *`, `0 * * * *`) goes by elapsed time: it leaves out what
  the clock leaps over, and comes again in the hour that comes again.

A CronJob differs for the first kind: it leaves out 02:30 on the day of the leap, and comes twice in autumn, neither of
which anyone wants of a training.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from xstilts.core.errors import UserError

FIELDS = ("minute", "hour", "day-of-month", "month", "day-of-week")
_SECOND = timedelta(seconds=1)
_WAY_OUT = "write minute, hour, day of month, month and day of week, such as `0 3 * * 7` for Sundays at 03:00"


@dataclass(frozen=True, slots=True)
class Slots:
    """Times in UTC. Asking costs the same, however long ago the last time was."""

    expression: str
    zone: ZoneInfo

    def after(self, moment: datetime) -> datetime | None:
        """The first time after a moment; None if none comes within 50 years."""
        # cronsim starts from a clock's reading, which means an earlier moment too in the hour that comes twice
        return next((slot for slot in self._walk(moment, reverse=False) if slot > moment), None)

    def latest(self, moment: datetime) -> datetime | None:
        """The last time that is not after a moment; None if there was none within 50 years."""
        found = next((slot for slot in self._walk(moment + _SECOND, reverse=True) if slot <= moment), None)
        # for the same reason it may step over the latest ones
        while found and (following := self.after(found)) and following <= moment:
            found = following
        return found

    def _walk(self, start: datetime, *, reverse: bool) -> Iterator[datetime]:
        local = start.astimezone(self.zone).replace(microsecond=0)
        for slot in CronSim(self.expression, local, reverse=reverse):
            yield slot.astimezone(UTC)


def parse(expression: str, *, zone: str) -> Slots:
    """Raises UserError."""
    parts = expression.split()
    if len(parts) != len(FIELDS):
        raise UserError(f"spec.schedule: {expression!r} has {len(parts)} fields, not 5; {_WAY_OUT}")
    try:
        CronSim(expression, datetime(2000, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        field = str(error).removeprefix("Bad ")
        raise UserError(
            f"spec.schedule: {expression!r}: {field} {_text(parts, field)} is not there; {_WAY_OUT}"
        ) from error
    return Slots(expression, ZoneInfo(zone))


def _text(parts: list[str], field: str) -> str:
    """What stands in a field that cronsim complains about as `Bad <field>`."""
    return repr(parts[FIELDS.index(field)]) if field in FIELDS else ""
