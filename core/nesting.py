"""How deep a JSON text nests, told before it is decoded.

Python's JSON decoder recurses in C: a library that raises the recursion limit (py_ecc, behind
eth-account, sets 100,000) would turn a deep text into a crash of the process.
"""

from __future__ import annotations

import re

DEEPEST = 100
# A string (to the end of the text if nothing closes it, so that this stays linear) or a bracket.
_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)


def is_deep(text: bytes | str) -> bool:
    """Whether arrays and objects stand more than DEEPEST deep in each other."""
    body = text.encode() if isinstance(text, str) else text
    return body.count(b"[") + body.count(b"{") > DEEPEST and _depth(body) > DEEPEST


def _depth(body: bytes) -> int:
    """Brackets inside of strings aside."""
    depth = deepest = 0
    for token in _TOKENS.findall(body):
        if token in (b"[", b"{"):
            depth += 1
            deepest = max(deepest, depth)
        elif token in (b"]", b"}"):
            depth -= 1
    return deepest
