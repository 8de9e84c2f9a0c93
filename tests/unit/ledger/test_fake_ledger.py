"""The fake keeps the ledger's promises too, so tests that use it mean something."""

from __future__ import annotations

import pytest

from contracts.ledger import LedgerContract
from fakes.ledger import FakeLedger


class TestContract(LedgerContract):
    @pytest.fixture
    def ledger(self) -> FakeLedger:
        return FakeLedger()
