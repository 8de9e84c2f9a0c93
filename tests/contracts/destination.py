"""What every destination promises. An implementation's test inherits this and gives a ``node``."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Protocol

import pytest

from builders import a_result_file
from lightbox import ports
from lightbox.deliver.status import Action, DestinationError
from lightbox.domain.result import ResultKind


class Node(Protocol):
    """A destination together with the archive behind it."""

    @property
    def destination(self) -> ports.Destination:
        """Return the way to the archive."""

    @abstractmethod
    def stored(self) -> list[str]:
        """Return the SOP Instance UIDs that the archive holds."""

    @abstractmethod
    def stop(self) -> None:
        """Make the archive unreachable."""

    @abstractmethod
    def start(self) -> None:
        """Make it reachable again, under the same address."""


class DestinationContract:
    @pytest.fixture
    def node(self, tmp_path: Path) -> Node:
        raise NotImplementedError

    def test_an_archive_that_runs_answers_an_echo(self, node: Node) -> None:
        node.destination.echo()

    @pytest.mark.parametrize("kind", list(ResultKind))
    def test_a_result_of_each_kind_is_stored_without_a_note(
        self, node: Node, tmp_path: Path, kind: ResultKind
    ) -> None:
        result = a_result_file(tmp_path, kind=kind)
        assert node.destination.send(result) == ""
        assert node.stored() == [result.sop_instance_uid]

    def test_results_arrive_in_the_order_of_sending(self, node: Node, tmp_path: Path) -> None:
        results = [a_result_file(tmp_path, str(n)) for n in range(4)]
        for result in results:
            node.destination.send(result)
        assert sorted(node.stored()) == sorted(r.sop_instance_uid for r in results)

    def test_sending_a_result_twice_makes_no_second_object(
        self, node: Node, tmp_path: Path
    ) -> None:
        result = a_result_file(tmp_path)
        node.destination.send(result)
        node.destination.send(result)
        assert set(node.stored()) == {result.sop_instance_uid}

    def test_an_unreachable_archive_is_an_error_that_names_thing_reason_and_mend(
        self, node: Node, tmp_path: Path
    ) -> None:
        node.stop()
        with pytest.raises(DestinationError) as caught:
            node.destination.send(a_result_file(tmp_path))
        assert caught.value.action is Action.UNREACHABLE
        assert caught.value.thing
        assert caught.value.reason
        assert caught.value.mend
        with pytest.raises(DestinationError):
            node.destination.echo()

    def test_an_archive_that_came_back_takes_results_again(
        self, node: Node, tmp_path: Path
    ) -> None:
        first, second = a_result_file(tmp_path, "1"), a_result_file(tmp_path, "2")
        node.destination.send(first)
        node.stop()
        node.start()
        node.destination.send(second)
        assert set(node.stored()) == {first.sop_instance_uid, second.sop_instance_uid}

    def test_closing_is_not_the_end(self, node: Node, tmp_path: Path) -> None:
        node.destination.close()
        node.destination.send(a_result_file(tmp_path))
        node.destination.close()
        node.destination.close()
        assert len(node.stored()) == 1
