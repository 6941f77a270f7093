"""Times of a cron expression where clocks are turned, against tables and against a walk over every minute."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedules import at
from xstilts.controller import slots
from xstilts.core.errors import UserError

MINUTE = timedelta(minutes=1)


def local_times(expression: str, zone: str, *, since: str, count: int) -> list[str]:
    times, moment, found = slots.parse(expression, zone=zone), at(since), []
    for _ in range(count):
        moment = times.after(moment)
        found.append(moment.astimezone(ZoneInfo(zone)).strftime("%d %H:%M %Z"))
    return found


@pytest.mark.parametrize(
    ("expression", "zone", "since", "expected"),
    [
        pytest.param(
            "30 2 * * *", "Europe/Berlin", "2026-03-28 00:00",
            ["28 02:30 CET", "29 03:00 CEST", "30 02:30 CEST"],
            id="a daily time that Berlin's clock leaps over comes when it lands",
        ),
        pytest.param(
            "30 2 * * *", "America/New_York", "2026-03-07 06:00",
            ["07 02:30 EST", "08 03:00 EDT", "09 02:30 EDT"],
            id="a daily time that New York's clock leaps over comes when it lands",
        ),
        pytest.param(
            "0,20,40 2 * * *", "Europe/Berlin", "2026-03-29 00:00",
            ["29 03:00 CEST", "30 02:00 CEST"],
            id="several times that are leapt over come as one",
        ),
        pytest.param(
            "0 2,3 * * *", "Europe/Berlin", "2026-03-29 00:00",
            ["29 03:00 CEST", "30 02:00 CEST"],
            id="a time that is leapt over and the one where the clock lands are one",
        ),
        pytest.param(
            "30 2 * * *", "Europe/Berlin", "2026-10-24 12:00",
            ["25 02:30 CEST", "26 02:30 CET"],
            id="a daily time that comes twice in Berlin counts once, the first time",
        ),
        pytest.param(
            "30 1 * * *", "America/New_York", "2026-10-31 12:00",
            ["01 01:30 EDT", "02 01:30 EST"],
            id="a daily time that comes twice in New York counts once, the first time",
        ),
        pytest.param(
            "0 * * * *", "Europe/Berlin", "2026-03-28 23:30",
            ["29 01:00 CET", "29 03:00 CEST", "29 04:00 CEST"],
            id="every hour is every hour that there is in spring",
        ),
        pytest.param(
            "0 * * * *", "Europe/Berlin", "2026-10-24 23:30",
            ["25 02:00 CEST", "25 02:00 CET", "25 03:00 CET"],
            id="every hour is every hour that there is in autumn",
        ),
        pytest.param(
            "30 2 * * *", "Etc/UTC", "2026-03-28 12:00",
            ["29 02:30 UTC", "30 02:30 UTC"],
            id="UTC knows no leap",
        ),
        pytest.param(
            "0 3 * * 7", "Europe/Berlin", "2026-03-01 12:00",
            ["08 03:00 CET", "15 03:00 CET", "22 03:00 CET", "29 03:00 CEST", "05 03:00 CEST"],
            id="Sundays stay at three o'clock",
        ),
        pytest.param(
            "0 0 29 2 *", "Etc/UTC", "2026-03-01 12:00",
            ["29 00:00 UTC", "29 00:00 UTC"],
            id="a leap day comes every four years",
        ),
    ],
)  # fmt: skip
def test_the_clock_is_turned(expression, zone, since, expected):
    assert local_times(expression, zone, since=since, count=len(expected)) == expected


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("61 * * * *", "minute '61' is not there"),
        ("0 24 * * *", "hour '24' is not there"),
        ("0 0 31 2 *", "day-of-month '31' is not there"),
        ("0 0 * JANUARY *", "month 'JANUARY' is not there"),
        ("0 0 * * MON-SUN", "day-of-week 'MON-SUN' is not there"),
        ("@daily", "has 1 fields, not 5"),
        ("0 0 * * * *", "has 6 fields, not 5"),
        ("TZ=Europe/Berlin 0 0 * * *", "has 6 fields, not 5"),
    ],
)
def test_an_expression_that_is_none_is_refused_with_the_part_that_is_wrong_and_the_way_out(expression, message):
    with pytest.raises(UserError) as refused:
        slots.parse(expression, zone="Etc/UTC")
    assert str(refused.value).startswith(f"spec.schedule: {expression!r}")
    assert message in str(refused.value)
    assert "`0 3 * * 7` for Sundays at 03:00" in str(refused.value)


@given(st.lists(st.text("0123456789*/-,L#WMON", min_size=1, max_size=8), min_size=5, max_size=5).map(" ".join))
def test_any_text_is_read_or_refused_with_a_user_error(expression):
    try:
        times = slots.parse(expression, zone="Europe/Berlin")
    except UserError:
        return
    now = at("2026-05-05 05:05")
    latest, following = times.latest(now), times.after(now)
    assert latest is None or latest <= now
    assert following is None or following > now


# ---- against a walk over every minute

ZONES = ("Europe/Berlin", "America/New_York", "Australia/Sydney", "America/Havana", "Asia/Kolkata")
# two days around a turn of each of them
TURNS = ("2026-03-28 12:00", "2026-10-24 12:00", "2026-03-07 18:00", "2026-10-31 18:00", "2026-04-04 04:00", "2026-10-03 04:00")  # fmt: skip
NUMBERS = {"minute": st.sets(st.integers(0, 59), min_size=1, max_size=3), "hour": st.sets(st.integers(0, 23), min_size=1, max_size=4)}  # fmt: skip


def every_minute(
    minutes: set[int] | None, hours: set[int] | None, zone: ZoneInfo, start: datetime
) -> Iterator[datetime]:
    """Times from `start` on for two days; None stands for a star."""
    if minutes is None or hours is None:
        moments = (start + n * MINUTE for n in range(2880))
        yield from (m for m in moments if _matches(m.astimezone(zone), minutes, hours))
        return
    seen = set()
    reading = start.astimezone(zone).replace(tzinfo=None) - timedelta(hours=3)
    while (moment := _first(reading, zone)) < start + timedelta(days=2):
        if _matches(reading, minutes, hours) and moment >= start and moment not in seen:
            seen.add(moment)
            yield moment
        reading += MINUTE


def _matches(reading: datetime, minutes: set[int] | None, hours: set[int] | None) -> bool:
    return (minutes is None or reading.minute in minutes) and (hours is None or reading.hour in hours)


def _first(reading: datetime, zone: ZoneInfo) -> datetime:
    """When a clock first reads this; when it lands if it leaps over it."""
    while (moment := reading.replace(tzinfo=zone).astimezone(UTC)).astimezone(zone).replace(tzinfo=None) != reading:
        reading += MINUTE
    return moment


@given(
    minutes=st.none() | NUMBERS["minute"],
    hours=st.none() | NUMBERS["hour"],
    zone=st.sampled_from(ZONES),
    turn=st.sampled_from(TURNS),
    asked=st.integers(0, 2879),
)
def test_the_next_and_the_latest_time_are_those_that_a_walk_over_every_minute_finds(minutes, hours, zone, turn, asked):
    expression = " ".join("*" if part is None else ",".join(map(str, sorted(part))) for part in (minutes, hours))
    times = slots.parse(f"{expression} * * *", zone=zone)
    walked = list(every_minute(minutes, hours, ZoneInfo(zone), at(turn)))
    moment = at(turn) + asked * MINUTE + timedelta(seconds=20)
    assert all(earlier < later for earlier, later in pairwise(walked))
    later = [slot for slot in walked if slot > moment]
    if later:
        assert times.after(moment) == later[0]
    before = [slot for slot in walked if slot <= moment]
    if before:
        assert times.latest(moment) == before[-1]
        assert times.latest(before[-1]) == before[-1], "a slot is its own latest"
