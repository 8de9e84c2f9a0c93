"""What a process asked of the disk, from an strace of it, and a disk that lost its power meanwhile.

Only what a sync has ended for is surely there: of the rest each write may be there, missing or
torn at a sector, and each new name may be there or not.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

CALLS = "openat,pwrite64,write,writev,ftruncate,fsync,fdatasync,rename,unlink,sendto,sendmsg"
SECTOR = 512

_LINE = re.compile(r"^(?P<thread>\d+)\s+(?P<rest>.*)$")
_CALL = re.compile(r"^(?P<call>\w+)\((?P<arguments>.*)$")
_RESUMED = re.compile(r"^<\.\.\. (?P<call>\w+) resumed>(?P<arguments>.*)$")
_DONE = re.compile(r"\)\s+= (?P<result>-?\d+)(?:<(?P<opened>[^>]*)>)?")
_FILE = re.compile(r"^\d+<(?P<path>[^>]*)>")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_LAST_NUMBER = re.compile(r", (\d+)\s*\)")


@dataclass(frozen=True)
class Operation:
    """One call that ended; ``path`` relative to the data directory."""

    call: str
    path: str
    data: bytes = b""
    offset: int = -1
    new_path: str = ""


def operations(log: Path, root: Path) -> Iterator[Operation]:
    """Read an strace (``-f -yy -xx``), in the order in which calls ended; an answer when it began."""
    waiting: dict[str, str] = {}
    for line in log.read_text().splitlines():
        found = _LINE.match(line)
        if found is None:
            continue
        thread, rest = found["thread"], found["rest"]
        if rest.endswith("<unfinished ...>"):
            begun = rest.removesuffix("<unfinished ...>")
            waiting[thread] = begun
            yield from _answers(begun)
            continue
        resumed = _RESUMED.match(rest)
        if resumed is not None:
            whole = waiting.pop(thread, "") + resumed["arguments"]
        else:
            whole = rest
            yield from _answers(whole)
        yield from _ended(whole, root)


def _answers(whole: str) -> Iterator[Operation]:
    call = _CALL.match(whole)
    if call is not None and call["call"].startswith("send"):
        file = _FILE.match(call["arguments"])
        if file is not None and _plain(file["path"]).startswith("TCP"):
            yield Operation("answer", "")


def _ended(whole: str, root: Path) -> Iterator[Operation]:
    call, done = _CALL.match(whole), _DONE.search(whole)
    if call is None or done is None or int(done["result"]) < 0:
        return
    name, arguments = call["call"], call["arguments"]
    if name == "openat":
        if "O_CREAT" in arguments and done["opened"]:
            yield from _inside("create", _plain(done["opened"]), root)
    elif name in {"rename", "unlink"}:
        texts = [_bytes(text).decode() for text in _TEXT.findall(arguments)]
        for operation in _inside(name, texts[0], root):
            new = Path(texts[-1]).relative_to(root).as_posix() if name == "rename" else ""
            yield Operation(name, operation.path, new_path=new)
    elif (file := _FILE.match(arguments)) is not None:
        data = b"".join(map(_bytes, _TEXT.findall(arguments)))[: max(int(done["result"]), 0)]
        offset = -1
        if name in {"pwrite64", "ftruncate"}:
            offset = int(_LAST_NUMBER.findall(arguments)[-1])
        for operation in _inside(name, _plain(file["path"]), root):
            yield Operation(name, operation.path, data, offset)


def _inside(name: str, path: str, root: Path) -> Iterator[Operation]:
    if Path(path).is_relative_to(root):
        yield Operation(name, Path(path).relative_to(root).as_posix())


def _plain(text: str) -> str:
    return _bytes(text).decode() if text.startswith("\\x") else text


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


@dataclass
class Disk:
    """Files and folders, with what of them is surely there."""

    files: dict[str, bytearray] = field(default_factory=dict)
    pending: dict[str, list[Operation]] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    ends: dict[str, int] = field(default_factory=dict)

    def take(self, operation: Operation) -> None:
        """Do one operation."""
        path = operation.path
        match operation.call:
            case "create" if path not in self.pending:
                self.files[path], self.pending[path], self.ends[path] = bytearray(), [], 0
            case "pwrite64" | "ftruncate":
                self.pending.setdefault(path, []).append(operation)
            case "write" | "writev":
                at = self.ends.setdefault(path, 0)
                self.ends[path] = at + len(operation.data)
                appended = Operation("pwrite64", path, operation.data, at)
                self.pending.setdefault(path, []).append(appended)
            case "fsync" | "fdatasync":
                self._sync(path)
            case "unlink":
                self._forget(path)
            case "rename":
                self.files[operation.new_path] = self.files.pop(path, bytearray())
                self.pending[operation.new_path] = self.pending.pop(path, [])
            case _:
                pass

    def _sync(self, path: str) -> None:
        if path in self.pending:
            for operation in self.pending[path]:
                _apply(self.files.setdefault(path, bytearray()), operation)
            self.pending[path] = []
        else:  # a folder: the names in it are there
            self.names |= {name for name in self.pending if Path(name).parent.as_posix() == path}

    def _forget(self, path: str) -> None:
        for of in (self.files, self.pending, self.ends):
            of.pop(path, None)
        self.names.discard(path)

    def lose_power(self, root: Path, draw: random.Random) -> None:
        """Write what a restart may find; what was not synced is there, missing or torn."""
        for path, waits in self.pending.items():
            if path not in self.names and draw.random() < 0.5:
                continue
            content = bytearray(self.files.get(path, b""))
            for operation in waits:
                _apply(content, _torn(operation, draw))
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content)


def _torn(operation: Operation, draw: random.Random) -> Operation:
    chance = draw.random()
    if chance < 0.4 or operation.call == "ftruncate":
        return operation
    data = operation.data
    upto = 0 if chance < 0.7 else draw.randrange(0, len(data) + 1, SECTOR)
    return Operation(operation.call, operation.path, data[:upto], operation.offset)


def _apply(content: bytearray, operation: Operation) -> None:
    at = operation.offset
    if operation.call == "ftruncate":
        del content[at:]
        content.extend(bytes(at - len(content)))
    elif operation.data:
        content.extend(bytes(max(0, at - len(content))))
        content[at : at + len(operation.data)] = operation.data
