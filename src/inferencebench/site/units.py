"""Numbers with their units, from the suffix of their names."""

import math

_SECONDS = (("µs", 1e6, 1e-3), ("ms", 1e3, 1.0), ("s", 1.0, 120.0), ("min", 1 / 60, 7200.0), ("h", 1 / 3600, math.inf))
"""Unit, its factor, and the seconds below which it is used."""
_RATES = {
    "requests_per_s": "req/s",
    "output_tokens_per_s": "tokens/s",
    "generation_tokens_per_s": "tokens/s",
}
TITLES = {
    "ttft_s": "TTFT (time to first token)",
    "tpot_s": "TPOT (time per output token)",
    "requests_per_s": "requests per second",
    "balanced_score": "balanced score",
}
"""Primary metrics in words."""


def quantity(name: str, value: float | None) -> str:
    """`value` with the unit that `name` ends in: `quantity("ttft_s", 0.0123)` is `12.3 ms`."""
    if value is None or not math.isfinite(value):
        return "–"
    if name in _RATES:
        return f"{value:.4g} {_RATES[name]}"
    if name.endswith("_usd"):
        return f"${value:,.2f}"
    if name.endswith("_share"):
        return f"{value:.1%}"
    if name.endswith("_s") and not name.endswith("per_s"):
        size = abs(value)
        unit, factor, _ = next(row for row in _SECONDS if size < row[2])
        return f"{value * factor:.4g} {unit}" if value else "0 s"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.4g}"


def bytes_text(count: int) -> str:
    """A size in bytes, binary units."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


def words(name: str) -> str:
    """A field's name without its unit: `solve_s` is `solve`."""
    for suffix in ("_per_s", "_s", "_usd"):
        if name.endswith(suffix) and suffix != "_per_s":
            name = name.removesuffix(suffix)
            break
    return name.replace("_", " ")
