"""The fake that other steps are tested with keeps the contract too."""

from __future__ import annotations

import numpy as np

from contracts.runtime import SIDE, RuntimeContract
from fakes.arithmetic_runtime import ArithmeticRuntime
from lightbox.ports import Runtime


class TestArithmeticRuntime(RuntimeContract):
    """A formula in place of a network."""

    def runtime(self) -> Runtime:
        return ArithmeticRuntime(np.linspace(-1.0, 2.0, SIDE * SIDE).reshape(SIDE, SIDE))
