"""Plot: lines over a logarithmic axis, as SVG. No more than the report needs."""

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TypeAlias

Line: TypeAlias = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 64, 150, 40, 48
COLOURS = ("#0b6e99", "#c0562f", "#4b7f3a", "#7a4fa3", "#a67c00", "#a0305c", "#555555")
STEPS = 5


def draw(title: str, across: str, up: str, lines: Mapping[str, Line]) -> str:
    """Draw lines by name; `across` is logarithmic, `up` begins at 0."""
    points = [point for line in lines.values() for point in line]
    xs = sorted({x for x, _ in points})
    top = _nice(max((y for _, y in points), default=1))

    def place(x: float, y: float) -> tuple[float, float]:
        span = math.log(xs[-1] / xs[0]) or 1
        return (
            LEFT + (WIDTH - LEFT - RIGHT) * math.log(x / xs[0]) / span,
            HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * y / top,
        )

    body = [
        f'<text x="{LEFT}" y="22" font-size="15" font-weight="600">{escape(title)}</text>',
        f'<text x="{LEFT}" y="{HEIGHT - 10}">{escape(across)}</text>',
        f'<text x="14" y="{TOP - 6}">{escape(up)}</text>',
    ]
    for step in range(STEPS + 1):
        y = top * step / STEPS
        _, at = place(xs[0], y)
        body.append(
            f'<path d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>'
            f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{y:g}</text>'
        )
    for x in xs:
        at, _ = place(x, 0)
        body.append(
            f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{x:g}</text>'
        )
    for number, (name, line) in enumerate(lines.items()):
        body.append(_line(name, [place(*point) for point in line], COLOURS[number % len(COLOURS)]))
    body += _names([(name, place(*line[-1])[1]) for name, line in lines.items() if line])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="sans-serif" font-size="12" fill="#333">\n'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>\n' + "\n".join(body) + "\n</svg>\n"
    )


def _line(name: str, places: Sequence[tuple[float, float]], colour: str) -> str:
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places)
    return (
        f'<g><title>{escape(name)}</title><path d="{path}" fill="none" stroke="{colour}" '
        f'stroke-width="2"/>{dots}</g>'
    )


def _names(ends: Iterable[tuple[str, float]]) -> list[str]:
    """Write each line's name beside its end, none over another."""
    texts = []
    lowest = 0.0
    for number, (name, y) in sorted(enumerate(ends), key=lambda item: item[1][1]):
        lowest = max(y, lowest + 14)
        texts.append(
            f'<text x="{WIDTH - RIGHT + 10}" y="{lowest + 4:.1f}" '
            f'fill="{COLOURS[number % len(COLOURS)]}">{escape(name)}</text>'
        )
    return texts


def _nice(value: float) -> float:
    """Round up to 1, 2, 2.5 or 5 times a power of ten."""
    power = 10 ** math.floor(math.log10(value or 1))
    return next(power * factor for factor in (1, 2, 2.5, 5, 10) if value <= power * factor)
