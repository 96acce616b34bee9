"""Ways in which files are broken: cut, flipped, with counts that no file has, wrong types, doubled keys, nested.

Everything is drawn from one generator, so a case is made again by its seed and number.
"""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Rng = np.random.Generator

_WORDS = (
    "nan", "inf", "-inf", "-1", "0", "-0", "1e999", "1e308", "1e38", "-1e-320", "2147483647", "2147483648",
    "4294967295",
    "18446744073709551615", "99999999999999999999", "9" * 400, "1" * 5000, "0x10", "1_0", "", "x", "1.5",
    "null", "true", "[]", "{}", '"', "\u0663", "-", "1/2", "2001-99-99", "0b2", "1:99", "!!python/object:os.system x",
    "*a", "&a [*a]",
)  # fmt: skip
_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x7FC00000, 0x7F800000)
_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, 10**400, 1.5, -0.0, 1e308, float("nan"), float("inf"), "", "x",
    "NaN", "../../x", "/", "a\x00b", "\u0663", [], {}, [[]], [None], [1, 2], {"a": 1}, {"": None}, [10**400],
    "y" * 5000,
)  # fmt: skip
_DEEP = 50_000


def break_file(path: Path, rng: Rng) -> None:
    """Break one file in place, as its kind allows or as bytes."""
    data = path.read_bytes()
    if rng.random() < 0.6:
        data = _KINDS.get(path.suffix.lower(), _bytes)(data, rng)
    for _ in range(int(rng.integers(0, 3)) if rng.random() < 0.5 else 0):
        data = _bytes(data, rng)
    path.write_bytes(data)


def _any(rng: Rng, choices: Any) -> Any:
    return choices[int(rng.integers(len(choices)))]


def _bytes(data: bytes, rng: Rng) -> bytes:
    """Bytes of any kind."""
    if not data:
        return _any(rng, (b"\0" * 100, b"{", b"ply\n", b"\xff\xfe"))  # type: ignore[no-any-return]
    at, other = sorted(int(n) for n in rng.integers(0, len(data) + 1, 2))
    kind = int(rng.integers(0, 9))
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[:at] + data[other:]
    if kind == 2:
        return data[:other] + data[at:]
    if kind == 3:
        return data[:at] + rng.bytes(int(rng.integers(1, 64))) + data[at:]
    if kind == 4:
        return data[:at] + bytes(min(other - at, 4096)) + data[at + min(other - at, 4096) :]
    if kind == 5:
        return b"" if rng.random() < 0.1 else data + data[at:other]
    if kind in (6, 7):
        number = struct.pack(_any(rng, "<>") + "I", _any(rng, _NUMBERS))
        return data[:at] + number + data[at + 4 :]
    flipped = bytearray(data)
    for place in rng.integers(0, len(data), int(rng.integers(1, 16))):
        flipped[place] ^= 1 << int(rng.integers(8))
    return bytes(flipped)


def _text(data: bytes, rng: Rng) -> bytes:
    """A text of words and numbers."""
    lines = data.split(b"\n")
    at = int(rng.integers(len(lines)))
    kind = int(rng.integers(0, 8))
    if kind == 0:
        del lines[at]
    elif kind == 1:
        lines[at:at] = [lines[at]] * int(rng.integers(1, 4))
    elif kind == 2:
        other = int(rng.integers(len(lines)))
        lines[at], lines[other] = lines[other], lines[at]
    elif kind == 3:
        lines[at] = lines[at] * int(_any(rng, (2, 50_000)))
    else:
        words = list(re.finditer(rb"[^\s,:\[\]{}]+", lines[at]))
        if words:
            word = _any(rng, words)
            lines[at] = lines[at][: word.start()] + _any(rng, _WORDS).encode() + lines[at][word.end() :]
    return b"\n".join(lines)


def _json(data: bytes, rng: Rng) -> bytes:
    """One JSON text; one line of several."""
    lines = data.splitlines()
    if len(lines) > 1 and all(line.startswith(b"{") for line in lines):
        at = int(rng.integers(len(lines)))
        lines[at] = _json(lines[at], rng)
        return b"\n".join(lines)
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return _bytes(data, rng)
    if rng.random() < 0.1:
        return _text(data, rng)
    mark = "\u2603 here \u2603"
    kind = int(rng.integers(0, 4))
    new = _broken_tree(content, rng, mark if kind == 0 else None)
    text = json.dumps(new, ensure_ascii=False)
    deep = _any(
        rng, ("[" * _DEEP + "]" * _DEEP, '{"a":' * _DEEP + "1" + "}" * _DEEP, "[" * _DEEP, "1" * 5000, "1e999")
    )
    text = text.replace(json.dumps(mark, ensure_ascii=False), deep)
    if kind == 1 and text.startswith("{") and len(text) > 2:  # a key twice
        text = text[:-1] + ", " + text[1:]
    return text.encode("utf-8", "surrogatepass")


def _broken_tree(content: Any, rng: Rng, mark: Any = None) -> Any:
    """The same values with one of them, somewhere, replaced, dropped, doubled or renamed."""
    places: list[tuple[Any, Any]] = []
    pending = [content]
    while pending:
        node = pending.pop()
        if isinstance(node, (dict, list)):
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            places += [(node, key) for key in keys]
            pending += [node[key] for key in keys]
    if not places or rng.random() < 0.03:
        return mark if mark is not None else _any(rng, _VALUES)
    node, key = _any(rng, places)
    kind = int(rng.integers(0, 6))
    if mark is not None or kind < 3:
        node[key] = mark if mark is not None else _any(rng, _VALUES)
    elif kind == 3:
        del node[key]
    elif kind == 4 and isinstance(node, dict):
        node[_any(rng, ("x", "", "-1", "1e3", "\u0663", "9" * 300, key.upper(), f" {key}"))] = node.pop(key)
    else:
        node[key] = [node[key]] * int(rng.integers(0, 4))
    return content


def _yaml(data: bytes, rng: Rng) -> bytes:
    bombs = (
        b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
            b"%c: &%c [%s]\n" % (c + 1, c + 1, b",".join([b"*%c" % c] * 9)) for c in range(97, 105)
        ),
        b"config: &a {session: *a}\n",
        b"config: " + b"{a: " * 3000 + b"1" + b"}" * 3000,
        b"- " * 3000,
        b"? [a, b]\n: 1\n",
        b"config: {<<: {session: 1}}\n",
    )  # fmt: skip
    return data + b"\n" + _any(rng, bombs) if rng.random() < 0.1 else _text(data, rng)


def _ply(data: bytes, rng: Rng) -> bytes:
    """Its header; the body of a text file."""
    head, end, body = data.partition(b"end_header\n")
    if b"format ascii" in head and rng.random() < 0.6:
        return head + end + _text(body, rng)
    extra = _any(
        rng,
        (
            b"", b"element x 1000000000000\n", b"element x 99999999\nproperty uchar a\n", b"element face 1\n",
            b"property list uint double deep\n", b"property list double double deep\n",
            b"comment TextureFile ../x.png\n",
            b"property float x\n", b"element x -1\n", b"property uchar\n",
        ),
    )  # fmt: skip
    return _text(head, rng) + (extra if rng.random() < 0.3 else b"") + end + body


def _glb(data: bytes, rng: Rng) -> bytes:
    """Its JSON chunk, with lengths that fit again."""
    if len(data) < 20:
        return _bytes(data, rng)
    length = struct.unpack_from("<I", data, 12)[0]
    text = _json(data[20 : 20 + length], rng)
    text += b" " * (-len(text) % 4)
    rest = data[20 + length :]
    return struct.pack("<4sIIII", b"glTF", 2, 20 + len(text) + len(rest), len(text), 0x4E4F534A) + text + rest


def _png(data: bytes, rng: Rng) -> bytes:
    """Size, depth and kind of colour in its header, with a checksum that fits."""
    if data[:8] != b"\x89PNG\r\n\x1a\n" or len(data) < 33:
        return _bytes(data, rng)
    header = bytearray(data[12:29])
    at = int(_any(rng, (4, 8, 12)))
    if at == 12:
        header[12], header[13] = _any(rng, ((16, 0), (16, 2), (8, 6), (1, 0), (8, 3), (16, 6), (8, 4), (9, 9)))
    else:
        header[at : at + 4] = struct.pack(">I", _any(rng, (*_NUMBERS, 5, 1000, 13_000, 30_000)))
    return data[:12] + bytes(header) + struct.pack(">I", zlib.crc32(bytes(header))) + data[33:]


def _stl(data: bytes, rng: Rng) -> bytes:
    return _text(data, rng) if data[:5] == b"solid" else _bytes(data, rng)


_KINDS: dict[str, Callable[[bytes, Rng], bytes]] = {
    ".json": _json, ".jsonl": _json, ".yaml": _yaml, ".csv": _text, ".obj": _text, ".mtl": _text, ".ply": _ply,
    ".glb": _glb, ".png": _png, ".stl": _stl,
}  # fmt: skip
