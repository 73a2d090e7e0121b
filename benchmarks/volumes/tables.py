"""Markdown tables of the figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .measure import Figure

OURS = "velcodec"


def tables(figures: Sequence[Figure]) -> str:
    """Bits per sample of each case, the share of the best peer, and speeds."""
    parts = [
        f"## {case}, bits per sample\n\n" + _table([f for f in figures if f.case == case], _bits)
        for case in dict.fromkeys(figure.case for figure in figures)
    ]
    if any(figure.codec == OURS for figure in figures):
        parts.append("## velcodec's bytes over the best peer's\n\n" + _shares(figures))
    parts.append("## MB/s of one core, encode / decode, means over cases\n\n" + _speeds(figures))
    return "\n\n".join(parts)


def _promises(figures: Sequence[Figure]) -> list[str]:
    """Bounds in rising order, then lossless, then PSNRs."""

    def order(promise: str) -> tuple[int, float]:
        number, _, unit = promise.partition(" ")
        return ("m/s", "", "dB").index(unit), 0.0 if promise == "lossless" else float(number)

    return sorted({figure.promise for figure in figures}, key=order)


def _bits(figure: Figure) -> str:
    return f"{figure.bits_per_sample:.3g}"


def _table(figures: Sequence[Figure], show: Callable[[Figure], str]) -> str:
    columns = _promises(figures)
    cells = {(figure.codec, figure.promise): show(figure) for figure in figures}
    names = list(dict.fromkeys(figure.codec for figure in figures))
    return _lines("codec", names, columns, cells)


def _lines(
    corner: str, names: Sequence[str], columns: Sequence[str], cells: dict[tuple[str, str], str]
) -> str:
    lines = [f"| {corner} | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    lines += [
        f"| {name} | {' | '.join(cells.get((name, column), '') for column in columns)} |"
        for name in names
    ]
    return "\n".join(lines)


def _shares(figures: Sequence[Figure]) -> str:
    cells: dict[tuple[str, str], str] = {}
    cases = list(dict.fromkeys(figure.case for figure in figures))
    columns = _promises(figures)
    for case in cases:
        for promise in columns:
            here = [f for f in figures if f.case == case and f.promise == promise]
            ours = [f.bits_per_sample for f in here if f.codec == OURS]
            peers = [f for f in here if not f.codec.startswith(OURS)]
            if ours and peers:
                best = min(peers, key=lambda figure: figure.bits_per_sample)
                cells[case, promise] = f"{ours[0] / best.bits_per_sample:.2f} ({best.codec})"
    return _lines("case", cases, columns, cells)


def _speeds(figures: Sequence[Figure]) -> str:
    cells: dict[tuple[str, str], str] = {}
    columns = _promises(figures)
    names = list(dict.fromkeys(figure.codec for figure in figures))
    for name in names:
        for promise in columns:
            own = [f for f in figures if f.codec == name and f.promise == promise]
            if own:
                encode, decode = (
                    len(own) / sum(1.0 / speed for speed in speeds)
                    for speeds in ([f.encode_mb_s for f in own], [f.decode_mb_s for f in own])
                )
                cells[name, promise] = f"{encode:.3g} / {decode:.3g}"
    return _lines("codec", names, columns, cells)
