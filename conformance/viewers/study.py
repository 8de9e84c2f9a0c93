"""A study that is open in OHIF: its cards are double-clicked, its slices gone through."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from chromium import Browser, BrowserError
from lightbox.domain.arrays import Picture

_CARDS = "[data-cy^=study-browser-thumbnail]"
_VIEWPORT = "[data-cy=viewport-pane], .viewport-wrapper"
_DRAWN = """
(() => {
  if (!window.cornerstone) return false;
  const viewports = cornerstone.getRenderingEngines().flatMap(engine => engine.getViewports());
  const pool = cornerstone.imageLoadPoolManager;
  return viewports.length > 0
    && !document.querySelector('[data-sonner-toast]')
    && viewports.every(viewport => viewport.viewportStatus === 'rendered')
    && Object.values(pool.numRequests).every(number => number === 0)
    && Object.values(pool.requestPool).flatMap(Object.values).every(list => list.length === 0);
})()
"""
"""True when what is seen is not about to change, no image is still to come, and no message lies over
it."""
_TWO_FRAMES_LATER = (
    "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))"
)
"""Says so when all that was asked for before has been painted."""
_DRAW = "cornerstone.getRenderingEngines().forEach(engine => engine.render())"
"""Draws what the viewer holds, as any touch of the image makes it do. By itself OHIF 3.13.2 may draw
for the last time before it has a map in place, or knows which outline is meant."""
_SHOWN = """
(() => {
  const { viewportGridService, displaySetService, segmentationService } = window.services;
  const ofViewport = ({ viewportId, displaySetInstanceUIDs }) =>
    displaySetInstanceUIDs.map(uid => [viewportId, displaySetService.getDisplaySetByUID(uid)]);
  const [viewportId, set] = [...viewportGridService.getState().viewports.values()]
    .flatMap(ofViewport).find(([, set]) => String(set?.SeriesNumber) === '%d') ?? [];
  if (!set) return '';
  const viewport = cornerstone.getRenderingEngines()
    .flatMap(engine => engine.getViewports()).find(({ id }) => id === viewportId);
  const uid = set.displaySetInstanceUID;
  const isThere = {
    PMAP: () => viewport.getActors().some(actor => actor.referencedId === uid)
      && viewport.getProperties(uid).colormap?.opacityMapping,
    SEG: () => segmentationService
      .getSegmentationRepresentations(viewportId, { segmentationId: uid }).length,
    SR: () => set.isLoaded && set.measurements.every(each => each.loaded),
  }[set.Modality];
  return viewport && (!isThere || isThere()) ? 'whole' : 'opened';
})()
"""
"""How far a series is shown: "" not at all; "opened"; "whole" when all of it is in its viewport."""
_JUMP = """
(async () => {
  const [viewport] = cornerstone.getRenderingEngines().flatMap(engine => engine.getViewports());
  await cornerstone.utilities.jumpToSlice(viewport.element, { imageIndex: %d });
  return true;
})()
"""
_NOTICED = 20.0
"""Seconds after which a double click is taken for lost."""
_NOT_OURS = (
    "GPU stall due to ReadPixels",
    "The stack viewport has been destroyed",
    "(reading 'getViewUp')\n    at StackViewport",
)
"""What OHIF complains of by itself: of WebGL without a graphics card, and, on a slow machine, of an
image of the source that came when its viewport had been given to the next series."""


class Study:
    """One study in a window of its own.

    Parameters
    ----------
    size : tuple of two ints
        Width and height of the window. All is drawn without a graphics card: small is quick.
    """

    def __init__(self, browser: Browser, size: tuple[int, int] = (1400, 680)) -> None:
        self.page = browser.page(*size)
        self._size = size
        self._patience = browser.patience

    def open(self, url: str, cards: int) -> None:
        """Open it where OHIF has it, and wait for that many series."""
        self.page.goto(url)
        self.page.until(f"document.querySelectorAll({json.dumps(_CARDS)}).length >= {cards}")
        self.page.until(_DRAWN)

    def close(self) -> None:
        """Close the window."""
        self.page.close()

    def show(self, series_number: int) -> None:
        """Double-click the card of a series, again where the viewer was too busy to notice.

        Returns when all of it is in place: the map, the segmentation, the outlines.
        """
        shown = _SHOWN % series_number
        give_up = time.monotonic() + self._patience
        while time.monotonic() < give_up:
            self._double_click(series_number)
            with contextlib.suppress(BrowserError):
                self.page.until(shown, patience=_NOTICED)
                self.page.until(f"{shown} === 'whole'")
                return
        raise BrowserError(f"series {series_number} was not opened; problems: {self.problems()}")

    def _double_click(self, series_number: int) -> None:
        """Double-click a card where it is when the list has come to rest."""
        script = (
            f"(async () => {{ const card = [...document.querySelectorAll({json.dumps(_CARDS)})]"
            f".find(c => c.innerText.includes('S:{series_number}')); if (!card) return null;"
            " card.scrollIntoView({block: 'center'}); const before = card.getBoundingClientRect();"
            f" await {_TWO_FRAMES_LATER}; const r = card.getBoundingClientRect();"
            " if (r.x !== before.x || r.y !== before.y) return null;"
            " return [r.x + r.width / 2, r.y + r.height / 3]; })()"
        )
        x, y = self.page.until(script)
        for count in (1, 2):
            for kind in ("mousePressed", "mouseReleased"):
                self.page.call(
                    "Input.dispatchMouseEvent",
                    type=kind, x=x, y=y, button="left", clickCount=count,
                )  # fmt: skip

    def decline(self) -> None:
        """Say No to the question whether to work on what is seen: it hides a part of it."""
        self.page.until("[...document.querySelectorAll('button')].some(b => b.innerText === 'No')")
        self.page.click("button", "No")

    def jump(self, index: int) -> None:
        """Go to a slice by its place in the viewer's own order; which one it is, the pixels say."""
        self.page.evaluate(_JUMP % index)

    def window(self) -> Picture:
        """Return what is seen of the whole page, shape (rows, columns, 3)."""
        return self._shot(
            {"x": 0, "y": 0, "width": self._size[0], "height": self._size[1], "scale": 1}
        )

    def look(self) -> Picture:
        """Return what the viewport shows, shape (rows, columns, 3)."""
        x, y, width, height = self._viewport()
        return self._shot({"x": x, "y": y, "width": width, "height": height, "scale": 1})

    def until(
        self, holds: Callable[[Picture], bool], what: str, patience: float | None = None
    ) -> Picture:
        """Look until it holds of what is seen and nothing moves any more, and return that.

        A viewer draws an image first and what lies on it later: whoever looks at the first picture
        that has the right slice may see the overlay of the slice before it, or none. So it is made
        to draw what it holds before each look.
        """
        nap = threading.Event()
        give_up = time.monotonic() + (self._patience if patience is None else patience)
        before: Picture | None = None
        while time.monotonic() < give_up:
            self.page.evaluate(_DRAW)
            self.page.evaluate(_TWO_FRAMES_LATER)
            seen = self.look()
            rests = before is not None and np.array_equal(seen, before)
            if rests and holds(seen) and self.page.evaluate(_DRAWN):
                return seen
            before = seen
            nap.wait(0.1)
        raise BrowserError(f"never seen: {what}; problems: {self.problems()}")

    def shapes(self) -> list[dict[str, Any]]:
        """Return the outlines drawn over the image: their boxes within the viewport."""
        found: list[dict[str, Any]] = self.page.evaluate(
            f"(() => {{ const v = document.querySelector({json.dumps(_VIEWPORT)})"
            ".getBoundingClientRect(); return [...document.querySelectorAll("
            "'svg.svg-layer polyline, svg.svg-layer path')].map(s => s.getBoundingClientRect())"
            ".filter(r => r.width > 0).map(r => ({left: r.left - v.left, top: r.top - v.top,"
            " right: r.right - v.left, bottom: r.bottom - v.top})); })()"
        )
        return found

    def words(self) -> str:
        """Return what is written over the image."""
        return str(
            self.page.evaluate(
                "[...document.querySelectorAll('svg.svg-layer text')].map(t => t.textContent).join(' ')"
            )
        )

    def problems(self) -> list[str]:
        """Return what stands in the console, but for what is not of the page."""
        return [p for p in self.page.problems() if not any(known in p for known in _NOT_OURS)]

    def _viewport(self) -> tuple[float, float, float, float]:
        x, y, width, height = self.page.until(
            f"(() => {{ const v = document.querySelector({json.dumps(_VIEWPORT)});"
            " if (!v) return null; const r = v.getBoundingClientRect();"
            " return [r.x, r.y, r.width, r.height]; })()"
        )
        return float(x), float(y), float(width), float(height)

    def _shot(self, clip: dict[str, float]) -> Picture:
        data = self.page.call("Page.captureScreenshot", format="png", clip=clip)["data"]
        with Image.open(io.BytesIO(base64.b64decode(data))) as image:
            return np.asarray(image.convert("RGB"))
