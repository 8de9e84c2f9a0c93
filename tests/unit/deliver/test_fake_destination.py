from __future__ import annotations

from pathlib import Path

import pytest

from contracts.destination import DestinationContract, Node
from fakes.destination import FakeDestination


class FakeNode:
    def __init__(self) -> None:
        self.destination = FakeDestination()

    def stored(self) -> list[str]:
        return self.destination.stored

    def stop(self) -> None:
        self.destination.down = True

    def start(self) -> None:
        self.destination.down = False


class TestFakeDestination(DestinationContract):
    @pytest.fixture
    def node(self, tmp_path: Path) -> Node:
        return FakeNode()
