"""Ways from one asset to another at one venue: one order, or two by way of a third asset."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from treasury.steps import Sized, Step

Curve = Iterator[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Path:
    """One or two steps. The second one sells what the first one brought."""

    steps: tuple[Step, ...]

    @property
    def venue(self) -> str:
        return self.steps[0].venue

    @property
    def from_asset(self) -> str:
        return self.steps[0].from_asset

    @property
    def symbols(self) -> list[str]:
        return [step.market.symbol for step in self.steps]

    @property
    def via(self) -> str | None:
        """The asset between, or None."""
        return self.steps[0].to_asset if len(self.steps) > 1 else None

    def curve(self) -> Curve:
        """(taken, brought) piece by piece, from the best rate to the worst, after all fees."""
        curve = self.steps[0].curve()
        for step in self.steps[1:]:
            curve = _chain(curve, step.curve())
        return curve

    def forward(self, budget: int, lockable: int, spare: int) -> list[Sized] | None:
        """What `budget` brings, with `lockable` free of the first asset; `spare` of the asset
        between is free besides and only ever locked, never spent."""
        first = self.steps[0].forward(budget, lockable)
        if first is None or len(self.steps) == 1:
            return [first] if first else None
        second = self.steps[1].forward(first.brought, first.brought + spare)
        return [first, second] if second else None

    def backward(self, wanted: int, lockable: int, spare: int) -> list[Sized] | None:
        """The least that brings `wanted`."""
        if len(self.steps) == 1:
            only = self.steps[0].backward(wanted, lockable)
            return [only] if only else None
        second = self.steps[1].backward(wanted, None)
        if second is None:
            return None
        needed = max(second.taken, second.locked - spare)
        first = self.steps[0].backward(needed, lockable)
        return [first, second] if first else None


def find(steps: Iterable[Step], from_asset: str, to_asset: str) -> list[Path]:
    """All paths among a venue's steps; direct ones first."""
    leaving: dict[str, list[Step]] = {}
    for step in steps:
        leaving.setdefault(step.from_asset, []).append(step)

    def ways() -> Iterator[tuple[Step, ...]]:
        for first in leaving.get(from_asset, []):
            if first.to_asset == to_asset:
                yield (first,)
            else:
                for second in leaving.get(first.to_asset, []):
                    if second.to_asset == to_asset:
                        yield first, second

    return sorted((Path(way) for way in ways()), key=lambda path: len(path.steps))


def _chain(first: Curve, second: Curve) -> Curve:
    """What the first curve brings goes into the second one. Linear in their pieces."""
    source, sink = next(first, None), next(second, None)
    while source is not None and sink is not None:
        taken, between = source
        room, brought = sink
        if between <= room:
            part = brought * between // room if room else 0
            yield taken, part
            rest = room - between
            source = next(first, None)
            sink = (rest, brought - part) if rest else next(second, None)
        else:
            part = -(-taken * room // between)
            yield part, brought
            source = (taken - part, between - room)
            sink = next(second, None)
