"""What was written down: the newest rows of the ledger, the clock beside them, dead letters."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from lightbox.domain.events import NotTaken
from lightbox.domain.standing import DeliveryState
from lightbox.domain.study_account import Expectations
from lightbox.ledger.chain import Row, follows, genesis
from lightbox.ledger.read_model.read import ReadModel
from lightbox.ledger.timeline import LedgerReader
from lightbox.ports import Clock
from lightbox.settings import Settings
from lightbox.tools.doctor_checks.finding import Finding, note, well, wrong

_ROWS = 200
_LATELY = 5000
"""Rows of each chain that are looked at for what was not taken."""
_CLASS = re.compile(r"does not take ([^:(]+[^:( ])")
_STEP = 2.0
"""Seconds that a clock may differ: NTP steps that much without anybody's fault."""


def ledger(folder: Path) -> Iterator[Finding]:
    """Recompute the newest rows of every chain; ``lightbox ledger prove`` recomputes all."""
    if folder.is_dir() and not os.access(folder, os.R_OK | os.X_OK):
        yield wrong("ledger", f"{folder} cannot be read by this user", "run as the service's user")
        return
    with closing(LedgerReader(folder)) as reader:
        total = 0
        for chain in reader.chains():
            rows, damage = _newest(reader, chain)
            total += rows[-1].sequence if rows else 0
            if damage:
                yield wrong("ledger", damage, "keep a copy, run: lightbox ledger prove")
                return
        chains = len(reader.chains())
    if chains:
        yield well("ledger", f"{total} rows in {chains} chains; the newest of each are intact")
    else:
        yield well("ledger", f"{folder} holds no chain yet")


def clock(folder: Path, ours: Clock) -> Iterator[Finding]:
    """Compare the clock with what the ledger has already seen."""
    now = ours.now()
    with closing(LedgerReader(folder)) as reader:
        newest = {chain: _newest(reader, chain)[0] for chain in reader.chains()}
    last = max((row.at for rows in newest.values() for row in rows), default=0.0)
    back = max((a.at - b.at for rows in newest.values() for a, b in pairwise(rows)), default=0.0)
    if last > now + _STEP:
        yield wrong(
            "clock",
            f"is {_apart(last - now)} behind the newest row of the ledger: it was set back",
            "set it by NTP (timedatectl set-ntp true)",
        )
    elif back > _STEP:
        yield note(
            "clock",
            f"went back by {_apart(back)} while the newest rows were written",
            "let NTP slew the clock, not step it",
        )
    else:
        yield well("clock", "agrees with the ledger" if last else "is not in doubt: no row yet")


def dead_letters(settings: Settings, folder: Path) -> Iterator[Finding]:
    """Count the results that were given up, and those that wait for another try."""
    expected = Expectations(tuple(given.name for given in settings.destinations))
    counts: dict[DeliveryState, Counter[str]] = {state: Counter() for state in DeliveryState}
    due: list[float] = []
    with closing(ReadModel(folder, expected)) as read_model:
        account = read_model.account_of(read_model.undelivered())
    for study in account.studies():
        for delivery in (each for job in study.jobs for each in job.deliveries):
            state = DeliveryState.DEAD_LETTER if delivery.given_up else delivery.state
            counts[state][f"{delivery.destination}: {delivery.given_up or delivery.reason}"] += 1
            due += [delivery.retry_at] if delivery.state is DeliveryState.DELAYED else []
    given_up = counts[DeliveryState.DEAD_LETTER]
    delayed = counts[DeliveryState.DELAYED]
    if given_up:
        why, _ = given_up.most_common(1)[0]
        yield wrong(
            "dead letters",
            f"{given_up.total()} results were given up, most often: {why}",
            "mend the cause, then: lightbox retry --all-failed",
        )
    elif delayed:
        why, _ = delayed.most_common(1)[0]
        yield note(
            "dead letters",
            f"none; {delayed.total()} results wait, the next until {_hour(min(due))}, "
            f"most often: {why}",
            "nothing: they go out by themselves",
        )
    else:
        yield well("dead letters", "none")


def refused(settings: Settings, folder: Path) -> Iterator[Finding]:
    """Tell of the classes that a destination did not take lately: no error, but to be known."""
    with closing(LedgerReader(folder)) as reader:
        heads = {chain: reader.stated_head(chain)[0] for chain in reader.chains()}
        rows = reader.since({chain: max(head - _LATELY, 0) for chain, head in heads.items()})
    found: Counter[tuple[str, str]] = Counter()
    for event in (row.event for row in rows):
        if isinstance(event, NotTaken) and (said := _CLASS.search(event.reason)):
            found[event.destination, said[1]] += 1
    for given in settings.destinations:
        classes = {name: n for (to, name), n in found.items() if to == given.name}
        if classes:
            counted = ", ".join(f"{name} ({n} lately)" for name, n in classes.items())
            yield note(
                f"destination {given.name}",
                f"did not take {counted}; its other results went out",
                "switch it on at the PACS for our AE title, or leave the kind out of `kinds`",
            )


def _hour(at: float) -> str:
    """Write a time as people at the place do."""
    return f"{datetime.fromtimestamp(at, UTC).astimezone():%Y-%m-%d %H:%M}"


def _newest(reader: LedgerReader, chain: str) -> tuple[Sequence[Row], str]:
    """Return the newest rows of a chain, and what is wrong with them ("" for nothing)."""
    stated, head = reader.stated_head(chain)
    rows = list(reader.rows(chain, max(stated - _ROWS, 0)))
    if not rows:
        return (), f"chain {chain}, sequence {stated} was written and is gone" if stated else ""
    if rows[0].sequence == 1 and not follows(rows[0], genesis(chain), 1):
        return rows, _edited(chain, 1)
    for before, row in pairwise(rows):
        if not follows(row, before.digest, before.sequence + 1):
            return rows, _edited(chain, row.sequence)
    if stated and not any((row.sequence, row.digest) == (stated, head) for row in rows):
        return rows, f"chain {chain}, sequence {stated} is not the head that the file states"
    return rows, ""


def _edited(chain: str, sequence: int) -> str:
    return f"chain {chain}, sequence {sequence} is not the row that was written"


def _apart(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min"
