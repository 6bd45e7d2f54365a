"""How an amount is shared out over paths: always to whichever brings most for the next unit.

Paths share no market, and each one's pieces get worse, so taking the best piece first is the best
split there is, also under a limit for each venue (a greedy choice over a laminar family). What is
lost against it is the rounding to the venues' steps alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from operator import itemgetter

from treasury.paths import Path

_SCALE = 1 << 96  # rates are compared this finely

Piece = tuple[int, int, int, int]  # -rate, path, taken, brought


def pieces(number: int, path: Path, amount: int, *, wanted: bool) -> list[Piece]:
    """The pieces of path `number`, the best rate first, as many as `amount` could ever need."""
    found: list[Piece] = []
    left, worst = amount, None
    for taken, brought in path.curve():
        if not taken or not brought:
            continue
        rate = brought * _SCALE // taken
        # Rounding may turn two of a path's pieces around.
        worst = rate if worst is None or rate < worst else worst
        found.append((-worst, number, taken, brought))
        left -= brought if wanted else taken
        if left <= 0:
            break
    return found


def merged(lists: Sequence[Sequence[Piece]]) -> list[Piece]:
    """All paths' pieces, the best rate first. Pieces of one path keep their order."""
    return sorted(chain.from_iterable(lists), key=itemgetter(0))


def share(
    found: Sequence[Piece],
    venues: Sequence[str],
    amount: int,
    limits: Mapping[str, int],
    *,
    wanted: bool,
) -> tuple[dict[int, int], int]:
    """What each path is to take (`wanted`: to bring), and what is left of `amount`.

    `found` is merged; `venues` are the paths', `limits` what each venue has to give. A path that
    gets nothing is not named.
    """
    shares: dict[int, int] = {}
    left, rooms = amount, dict(limits)
    for _, number, piece_taken, piece_brought in found:
        if not left:
            break
        room = rooms[venues[number]]
        if room <= 0:
            continue
        taken, brought = piece_taken, piece_brought
        if taken > room:
            taken, brought = room, brought * room // taken
        if wanted and brought > left:
            taken, brought = -(-taken * left // brought), left
        elif not wanted and taken > left:
            taken, brought = left, brought * left // taken
        part = brought if wanted else taken
        shares[number] = shares.get(number, 0) + part
        left -= part
        rooms[venues[number]] = room - taken
    return {number: part for number, part in shares.items() if part}, left
