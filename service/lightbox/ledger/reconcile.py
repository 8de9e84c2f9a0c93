"""From rows to the account: who needs what, after a start or beside a running service."""

from __future__ import annotations

from lightbox.domain.account import Account
from lightbox.ledger.timeline import LedgerReader


def reconcile(reader: LedgerReader, account: Account) -> Account:
    """Apply every row that the account has not seen; return the account.

    The chains are read one page after the other while services may write, so an effect in one
    chain can be seen before its cause in another. The cause was on disk first: what is appended
    meanwhile is read once more, and after that no effect lacks its cause but by a missing row.
    """
    for _ in range(2):
        for recorded in reader.stream(dict(account.positions)):
            account.apply(recorded)
    return account
