"""The fake keeps the runtime's promises too, so tests that use it mean something."""

from __future__ import annotations

import numpy as np

from contracts.runtime import SIDE, RuntimeContract
from fakes.arithmetic_runtime import ArithmeticRuntime
from lightbox.ports import Runtime


class TestContract(RuntimeContract):
    def runtime(self) -> Runtime:
        return ArithmeticRuntime(np.random.default_rng(5).standard_normal((SIDE, SIDE)))
