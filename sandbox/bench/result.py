"""What a measure found: one row, held against its floor and its aim."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class Aim:
    """`limit` bounds the ratio to the floor, or (`of` "ours") our own figure."""

    limit: float
    at_least: bool
    of: str = "ratio"

    def met(self, ratio: float | None, ours: float) -> bool:
        value = ours if self.of == "ours" else ratio
        if value is None:
            return False
        return value >= self.limit if self.at_least else value <= self.limit

    def show(self, unit: str) -> str:
        sign = "≥" if self.at_least else "≤"
        if self.of == "ours":
            return f"{sign} {self.limit:g} {unit}"
        return f"{sign} {self.limit:.0%}" if self.at_least else f"{sign} {self.limit:g}x"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`ours` and `floor` are medians of their rounds, `ratio` is the median of each round's own
    ratio: a round's two halves ran one after the other, so they saw the same machine."""

    what: str
    unit: str
    ours: float
    floor: float | None = None
    ratio: float | None = None
    aim: Aim | None = None
    peer: str = ""
    ours_rounds: Sequence[float] = ()
    floor_rounds: Sequence[float] = ()

    @property
    def met(self) -> bool | None:
        """None where nothing was aimed at."""
        return None if self.aim is None else self.aim.met(self.ratio, self.ours)

    def as_json(self) -> dict[str, Any]:
        content = asdict(self)
        content["aim"] = None if self.aim is None else self.aim.show(self.unit)
        return content | {"met": self.met}


def paired(
    what: str,
    unit: str,
    ours: Sequence[float],
    floor: Sequence[float],
    *,
    aim: Aim | None = None,
    peer: str = "",
) -> Row:
    """A row from rounds that were taken in turns."""
    ratios = [a / b for a, b in zip(ours, floor, strict=True) if b]
    return Row(
        what=what,
        unit=unit,
        ours=median(ours),
        floor=median(floor),
        ratio=median(ratios) if ratios else None,
        aim=aim,
        peer=peer,
        ours_rounds=ours,
        floor_rounds=floor,
    )


def quantile(values: Sequence[float], q: float) -> float:
    """The nearest-rank quantile. Raises ValueError without values."""
    if not values:
        raise ValueError("nothing was measured")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]
