"""SVG by hand: elements that escape what they hold, scales, and labels that keep apart.

It knows nothing of runs; what is drawn is `charts`' business. Colours are attributes, so that a
picture shows in an untrusted notebook too, and classes, so that a page's style can replace them.
"""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

# The mean width of a letter of a 12 px sans-serif face, which nobody tells us; this errs wide.
CHAR_PX = 6.4
TIMES = "\N{MULTIPLICATION SIGN}"


class Markup(str):
    """Text that is SVG already and must not be escaped again."""

    __slots__ = ()


def tag(name: str, *inside: str | Markup, **attributes: str | float | None) -> Markup:
    """Return one element; plain strings inside it and all attributes are escaped."""
    body = "".join(part if isinstance(part, Markup) else escape(part) for part in inside)
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_written(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{written}>{body}</{name}>" if body else f"<{name}{written}/>")


def join(*parts: str) -> Markup:
    """Return several elements as one."""
    return Markup("".join(parts))


def _written(value: str | float) -> str:
    if isinstance(value, str):
        return escape(value)
    return f"{value:.2f}".rstrip("0").rstrip(".") if math.isfinite(value) else "0"


def picture(
    *parts: Markup, width: float, height: float, title: str, desc: str, kind: str
) -> Markup:
    """Return a whole SVG that scales with the page and reads itself to those who cannot see it."""
    return tag(
        "svg",
        tag("title", title),
        tag("desc", desc),
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width:g} {height:g}",
        width=width,
        height=height,
        role="img",
        class_=f"chart {kind}",
        style="max-width:100%;height:auto",
        font_family="system-ui,-apple-system,'Segoe UI',Roboto,'Liberation Sans',sans-serif",
        font_size=12.0,
    )


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    """A map from values to pixels, linear or logarithmic; what lies outside is held at the edge."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Return the pixel of ``value``."""
        inside = min(max(value, self.low), self.high)
        share = self._share(inside)
        return self.start + share * (self.end - self.start)

    def _share(self, value: float) -> float:
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def holds(self, value: float) -> bool:
        """Say whether ``value`` lies within the scale."""
        return self.low <= value <= self.high

    def ticks(self, about: int = 6) -> tuple[float, ...]:
        """Return round values within the scale, about as many as asked for."""
        wide = self.log and self.high / self.low >= WIDE
        found = _decades(self.low, self.high) if wide else _steps(self.low, self.high, about)
        return tuple(value for value in found if self.holds(value))


# Below a factor of five, round decimal steps read better on a logarithmic axis than 1, 2, 5.
WIDE = 5


def _steps(low: float, high: float, about: int) -> list[float]:
    rough = (high - low) / max(about, 1)
    power = 10.0 ** math.floor(math.log10(rough)) if rough > 0 else 1.0
    step = next((m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough), 10 * power)
    first = math.ceil(low / step)
    return [round((first + i) * step, 12) for i in range(int((high - low) / step) + 2)]


def _decades(low: float, high: float) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    per_decade = (1, 2, 5) if last - first <= MOST_DECADES_WITH_STEPS else (1,)
    return [m * 10.0**power for power in range(first, last + 1) for m in per_decade]


MOST_DECADES_WITH_STEPS = 3


def spread(wanted: Sequence[float], *, gap: float, low: float, high: float) -> list[float]:
    """Return positions near those wanted, in the same order of height, at least ``gap`` apart."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    placed = [0.0] * len(wanted)
    above = low - gap
    for i in order:
        above = placed[i] = max(wanted[i], above + gap)
    below = high + gap
    for i in reversed(order):
        below = placed[i] = min(placed[i], below - gap)
    return placed


def fit(text: str, pixels: float) -> str:
    """Return ``text`` cut to about ``pixels`` of width."""
    room = max(1, int(pixels / CHAR_PX))
    return text if len(text) <= room else text[: room - 1].rstrip() + "…"


def factor(value: float) -> str:
    """Return a ratio as people write it."""
    return f"{value:.2f}{TIMES}" if abs(value) < 1000 else f"{number(value)}{TIMES}"  # noqa: PLR2004


def number(value: float, digits: int = 3) -> str:
    """Return a number as people write it: three significant digits, never an exponent below 1e7."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    if abs(value) >= 1e7 or abs(value) < 1e-4:  # noqa: PLR2004 - see the docstring
        return f"{value:.2e}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
