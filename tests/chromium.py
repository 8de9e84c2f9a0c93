"""A real browser for tests: Chromium without a window, steered as a person would steer it.

Speaks the DevTools protocol over two pipes (no port, no library). What is clicked is found by its
role and its accessible name, as a screen reader finds it; clicks and keys are real input events.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import shutil
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

NAMES = ("chromium", "chromium-browser", "google-chrome")
AXE = Path(__file__).parent / "browser" / "node_modules" / "axe-core" / "axe.min.js"
WCAG = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-extensions", "--disable-default-apps", "--disable-dev-shm-usage", "--mute-audio",
    "--hide-scrollbars", "--force-color-profile=srgb", "--remote-debugging-pipe", "--lang=en-GB",
)  # fmt: skip
_NOTHING_DRAWN = ("--disable-gpu",)
_DRAWN_WITHOUT_GPU = (
    "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
)  # fmt: skip
"""WebGL by the processor: what image viewers draw with."""
_PATIENCE = 60.0
_KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "ArrowDown": 40}


def chromium() -> str | None:
    """Return where the browser is, None where there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class BrowserError(AssertionError):
    """The browser, or the page in it, did not do what was asked."""


class Browser:
    """One process of Chromium with a profile of its own; ends with the block.

    Parameters
    ----------
    webgl : bool
        Whether its pages can draw by WebGL.
    patience : float
        Seconds that it is waited for.
    """

    def __init__(self, profile: Path, *, webgl: bool = False, patience: float = _PATIENCE) -> None:
        program = chromium()
        assert program is not None
        self.patience = patience
        flags = (*_FLAGS, *(_DRAWN_WITHOUT_GPU if webgl else _NOTHING_DRAWN))
        to_read, self._to = os.pipe()
        self._from, to_write = os.pipe()
        quiet = (
            os.POSIX_SPAWN_OPEN,
            2,
            str(profile.with_suffix(".log")),
            os.O_WRONLY | os.O_CREAT,
            0o600,
        )
        # both ends first above 3 and 4, so that neither is closed by putting the other in place
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in (to_read, to_write)]
        self._pid = os.posix_spawn(
            program,
            [program, *flags, f"--user-data-dir={profile}", "about:blank"],
            {**os.environ, "HOME": str(profile.parent)},
            file_actions=[
                quiet,
                (os.POSIX_SPAWN_DUP2, high[0], 3),
                (os.POSIX_SPAWN_DUP2, high[1], 4),
            ],
            setsid=True,
        )
        for fd in (to_read, to_write, *high):
            os.close(fd)
        self._said = threading.Condition()
        self._answers: dict[int, dict[str, Any]] = {}
        self.events: deque[dict[str, Any]] = deque(maxlen=2000)
        self._is_gone = False
        self._count = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the browser and all of its processes."""
        with contextlib.suppress(BrowserError):
            self.call("Browser.close")
        os.close(self._to)
        self._reader.join(5)
        if self._reader.is_alive():
            os.killpg(self._pid, signal.SIGKILL)
            self._reader.join(5)
        os.waitpid(self._pid, 0)
        os.close(self._from)

    def page(self, width: int = 1280, height: int = 900) -> Page:
        """Open a page in a context without cookies or history of others."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call(
            "Target.createTarget", {"url": "about:blank", "browserContextId": context}
        )["targetId"]
        session = self.call("Target.attachToTarget", {"targetId": target, "flatten": True})
        return Page(self, session["sessionId"], target, width, height)

    def call(
        self, method: str, parameters: dict[str, Any] | None = None, session: str = ""
    ) -> dict[str, Any]:
        """Ask the browser; return its answer."""
        with self._said:
            self._count += 1
            number = self._count
        message = {"id": number, "method": method, "params": parameters or {}}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        try:
            while data:
                data = data[os.write(self._to, data) :]
        except BrokenPipeError:
            raise BrowserError(f"{method}: the browser is gone") from None
        with self._said:
            self._said.wait_for(lambda: number in self._answers or self._is_gone, self.patience)
            answer = self._answers.pop(number, None)
        if answer is None:
            raise BrowserError(f"{method}: no answer")
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error'].get('message')}")
        result: dict[str, Any] = answer["result"]
        return result

    def wait_event(self, since: int, is_it: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return the first event after mark ``since`` that is the one."""
        give_up = time.monotonic() + self.patience
        with self._said:
            while True:
                found = next((e for e in self.events if e["mark"] > since and is_it(e)), None)
                if found is not None:
                    return found
                left = give_up - time.monotonic()
                if left <= 0 or self._is_gone:
                    raise BrowserError("the event did not come")
                self._said.wait(left)

    @property
    def mark(self) -> int:
        """A mark between the events so far and those to come."""
        with self._said:
            return self.events[-1]["mark"] if self.events else 0

    def _read(self) -> None:
        rest, mark = b"", 0
        while data := os.read(self._from, 1 << 20):
            *whole, rest = (rest + data).split(b"\0")
            with self._said:
                for text in whole:
                    message = json.loads(text)
                    if "id" in message:
                        self._answers[message["id"]] = message
                    elif not message["method"].startswith("Network."):  # hundreds, asked by nobody
                        mark += 1
                        self.events.append({**message, "mark": mark})
                self._said.notify_all()
        with self._said:
            self._is_gone = True
            self._said.notify_all()


class Page:
    """One tab."""

    def __init__(
        self, browser: Browser, session: str, target: str, width: int, height: int
    ) -> None:
        self._browser = browser
        self._session = session
        self._target = target
        for domain in ("Page", "Runtime", "DOM", "Accessibility", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.resize(width, height)
        self.colours("dark")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._browser.call(method, parameters, self._session)

    def resize(self, width: int, height: int) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip

    def colours(self, scheme: str) -> None:
        """Prefer ``dark`` or ``light``, and nothing that moves: what is seen is seen at once."""
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.call("Emulation.setEmulatedMedia", features=features)

    def goto(self, url: str) -> None:
        self._and_loads(lambda: self.call("Page.navigate", url=url))

    def close(self) -> None:
        self._browser.call("Target.closeTarget", {"targetId": self._target})

    # ------------------------------------------------------------------------------ looking
    def evaluate(self, expression: str) -> Any:
        """Return what a script says; a promise is waited for."""
        said = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in said:
            raise BrowserError(str(said["exceptionDetails"].get("exception", said)))
        return said["result"].get("value")

    def text(self) -> str:
        """All that can be read on the page."""
        return str(self.evaluate("document.body.innerText"))

    @property
    def url(self) -> str:
        return str(self.evaluate("location.href"))

    def until(self, expression: str, patience: float | None = None) -> Any:
        """Wait until a script says something true, and return it; as long as the browser does."""
        nap = threading.Event()
        give_up = time.monotonic() + (self._browser.patience if patience is None else patience)
        while time.monotonic() < give_up:
            if found := self.evaluate(expression):
                return found
            nap.wait(0.05)
        raise BrowserError(f"never true: {expression}\n{self.text()}")

    def until_text(self, words: str) -> None:
        """Wait until these words can be read."""
        self.until(f"document.body.innerText.includes({json.dumps(words)})")

    def find(self, role: str, name: str = "") -> int:
        """Return the first node with this role and exactly this accessible name."""
        return self.find_all(role, name)[0]

    def find_all(self, role: str, name: str) -> list[int]:
        root = self.call("DOM.getDocument", depth=0)["root"]["nodeId"]
        wanted = {"accessibleName": name} if name else {}
        nodes = self.call("Accessibility.queryAXTree", nodeId=root, role=role, **wanted)["nodes"]
        found = [n["backendDOMNodeId"] for n in nodes if not n.get("ignored")]
        if not found:
            raise BrowserError(f"no {role} is named {name!r} on {self.url}\n{self.text()}")
        return found

    def problems(self) -> list[str]:
        """What stands in the page's console in red or yellow, and exceptions that nobody caught."""
        mine = [e for e in list(self._browser.events) if e.get("sessionId") == self._session]
        return [said for event in mine if (said := _complaint(event["method"], event["params"]))]

    # ------------------------------------------------------------------------------- doing
    def click(self, role: str, name: str) -> None:
        """Click in the middle of what has this role and name; scrolls there first."""
        node = self.find(role, name)
        self.call("DOM.scrollIntoViewIfNeeded", backendNodeId=node)
        quad = self.call("DOM.getContentQuads", backendNodeId=node)["quads"][0]
        x, y = sum(quad[0::2]) / 4, sum(quad[1::2]) / 4
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def follow(self, role: str, name: str) -> None:
        """Click, and wait for the page that it leads to."""
        self._and_loads(lambda: self.click(role, name))

    def press(self, key: str) -> None:
        code = _KEYS.get(key, 0)
        text = {"Enter": "\r", " ": " "}.get(key, "")
        how = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **how)
        self.call("Input.dispatchKeyEvent", type="keyUp", **how)

    def press_and_follow(self, key: str) -> None:
        self._and_loads(lambda: self.press(key))

    def write(self, role: str, name: str, text: str) -> None:
        """Write into a field that is found by its label."""
        node = self.find(role, name)
        self.call("DOM.focus", backendNodeId=node)
        self.call("Input.insertText", text=text)

    def drop(self, label: str, file: Path) -> None:
        """Drop a file onto the field with this label, as from a desktop."""
        node = self._labelled(label)
        self.call("DOM.scrollIntoViewIfNeeded", backendNodeId=node)
        quad = self.call("DOM.getContentQuads", backendNodeId=node)["quads"][0]
        data = {"items": [], "files": [str(file)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.call(
                "Input.dispatchDragEvent",
                type=kind, x=sum(quad[0::2]) / 4, y=sum(quad[1::2]) / 4, data=data,
            )  # fmt: skip

    def _labelled(self, label: str) -> int:
        """Return the field of a label that begins so; browsers add words to a file's name."""
        script = (
            "[...document.querySelectorAll('label')]"
            f".find(l => l.innerText.trim().startsWith({json.dumps(label)})).control"
        )
        found = self.call("Runtime.evaluate", expression=script)["result"]
        node = self.call("DOM.describeNode", objectId=found["objectId"])["node"]
        return int(node["backendNodeId"])

    def focused(self) -> str:
        """Name of what has the focus, as a screen reader says it."""
        return str(
            self.evaluate(
                "(e => e.getAttribute('aria-label') || e.labels?.[0]?.innerText || e.innerText "
                "|| e.tagName)(document.activeElement).trim()"
            )
        )

    # ------------------------------------------------------------------------------ judging
    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Write what is seen as WebP (or PNG, by the path's name)."""
        kind = path.suffix.removeprefix(".")
        more: dict[str, Any] = {"quality": 80} if kind == "webp" else {}
        if whole:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            more |= {"captureBeyondViewport": True, "clip": {**size, "x": 0, "y": 0, "scale": 1}}
        data = self.call("Page.captureScreenshot", format=kind, **more)["data"]
        path.write_bytes(base64.b64decode(data))

    def violations(self, *rules: str) -> list[str]:
        """What axe-core objects to, each in one line; by these rules only where some are named."""
        if not self.evaluate("'axe' in window"):
            self.evaluate(AXE.read_text())
        only = {"type": "rule", "values": rules} if rules else {"type": "tag", "values": WCAG}
        how = json.dumps({"runOnly": only, "resultTypes": ["violations"]})
        found = self.evaluate(f"axe.run(document, {how}).then(r => JSON.stringify(r.violations))")
        return [
            f"{each['id']}: {each['help']}: {node['target']} {node['html'][:160]} {node.get('failureSummary', '')[:300]}"
            for each in json.loads(found)
            for node in each["nodes"]
        ]

    def _and_loads(self, act: Callable[[], object]) -> None:
        mark = self._browser.mark
        act()
        self._browser.wait_event(
            mark,
            lambda e: e["method"] == "Page.loadEventFired" and e.get("sessionId") == self._session,
        )


def _complaint(method: str, said: dict[str, Any]) -> str:
    """Return what an event of a page complains of, "" if of nothing."""
    if method == "Log.entryAdded" and said["entry"]["level"] in ("warning", "error"):
        entry = said["entry"]
        return " ".join(str(entry[key]) for key in ("text", "url") if key in entry)
    if method == "Runtime.exceptionThrown":
        details = said["exceptionDetails"]
        return str(details.get("exception", {}).get("description") or details["text"])
    if method == "Runtime.consoleAPICalled" and said["type"] in ("error", "assert"):
        return " ".join(str(a.get("value", a.get("description", ""))) for a in said["args"])
    return ""
