"""From rows to the account: who needs what, after a start or beside a running service."""

from __future__ import annotations

from lightbox.domain.account import Account
from lightbox.ledger.timeline import LedgerReader


def reconcile(reader: LedgerReader, account: Account) -> Account:
    """Apply every row that the account has not seen; return the account.

    Beside a running service a chain that is read later may speak of what an earlier one got
    meanwhile; the account takes rows in any order, so the next call completes it.
    """
    for recorded in reader.stream(dict(account.positions)):
        account.apply(recorded)
    return account
