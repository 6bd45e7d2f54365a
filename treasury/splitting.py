"""How an amount is shared out over paths: always to whichever brings most for the next unit.

Paths share no market, and each one's pieces get worse, so taking the best piece first is the best
split there is, also under a limit for each venue (a greedy choice over a laminar family). What is
lost against it is the rounding to the venues' steps alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from treasury.paths import Path

_SCALE = 1 << 96  # rates are compared this finely

Piece = tuple[int, int, int, int]  # -rate, path, taken, brought


def pieces(paths: Sequence[Path]) -> list[Piece]:
    """All paths' pieces, the best rate first. Pieces of one path keep their order."""
    found: list[Piece] = []
    for number, path in enumerate(paths):
        least = None
        for taken, brought in path.curve:
            if not taken or not brought:
                continue
            rate = brought * _SCALE // taken
            least = rate if least is None else min(least, rate)  # rounding may turn two around
            found.append((-least, number, taken, brought))
    found.sort(key=lambda piece: piece[0])
    return found


def share(
    found: Sequence[Piece],
    paths: Sequence[Path],
    among: Collection[int],
    amount: int,
    limits: Mapping[str, int],
    *,
    wanted: bool,
) -> tuple[dict[int, int], int]:
    """What each path of `among` is to take (`wanted`: to bring), and what is left of `amount`.

    `limits`: what each venue has to give. A path that gets nothing is not named.
    """
    shares: dict[int, int] = {}
    left, rooms = amount, dict(limits)
    for _, number, piece_taken, piece_brought in found:
        if not left:
            break
        if number not in among:
            continue
        venue = paths[number].venue
        room = rooms.get(venue, 0)
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
        rooms[venue] = room - taken
    return {number: part for number, part in shares.items() if part}, left
