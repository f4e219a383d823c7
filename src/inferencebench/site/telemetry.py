"""What a run kept of its server while it was measured: the machine over time, and what the engine counted."""

import math
import re
from collections.abc import Iterator
from pathlib import Path

from inferencebench.serve.telemetry import AFTER, BEFORE, SAMPLES
from inferencebench.site import reading
from inferencebench.site.model import Counted, Series
from inferencebench.site.redact import redacted

BYTES = 2 << 20
POINTS = 300
"""Most points of one line."""
MOST_COUNTED = 60
LINE = re.compile(r"^([A-Za-z_:][\w:]{0,120})(\{[^\n]{0,400}\})?\s+([-+0-9.eEinfaNI]{1,32})")
SKIPPED = ("_bucket", "_created", "python_", "process_", "http_request")
"""Series that say nothing about the serving of a model."""
QUANTITIES = {
    "cpu_percent": ("CPU", "%"),
    "gpu_percent": ("GPU", "%"),
    "memory_bytes": ("memory", "GiB"),
    "power_w": ("power", "W"),
    "temperature_c": ("temperature", "°C"),
    "clock_mhz": ("clock", "MHz"),
}
"""Field of a look → title and unit."""


def series(measure: Path) -> tuple[Series, ...]:
    """Lines over the measurement, one per quantity, device and launch."""
    found: list[Series] = []
    launches = _launches(measure)
    for number, folder in enumerate(launches):
        try:
            rows = reading.json_lines(reading.head(folder / SAMPLES, BYTES).data)
        except reading.NOT_READ:
            continue
        rows = rows[:: math.ceil(len(rows) / POINTS) or 1]
        launch = f"launch {number + 1}, " if len(launches) > 1 else ""
        looks = [(float(row["at_s"]), _values(row)) for row in rows if isinstance(row.get("at_s"), int | float)]
        for device, name in sorted({key for _, look in looks for key in look}):
            points = [(at, look[device, name]) for at, look in looks if (device, name) in look]
            scale = 2**30 if name == "memory_bytes" else 1
            found.append(
                Series(
                    name=QUANTITIES[name][0],
                    device=f"{launch}{device}",
                    unit=QUANTITIES[name][1],
                    at_s=tuple(at for at, _ in points),
                    values=tuple(round(value / scale, 3) for _, value in points),
                )
            )
    return tuple(found)


def _values(row: dict[str, object]) -> dict[tuple[str, str], float]:
    """Numbers of a row by device and name."""
    parts: list[tuple[str, object]] = [("machine", row)]
    gpus = row.get("gpus")
    parts += [(f"GPU {i}", gpu) for i, gpu in enumerate(gpus)] if isinstance(gpus, list) else []
    return {
        (device, name): float(value)
        for device, part in parts
        if isinstance(part, dict)
        for name in QUANTITIES
        if isinstance(value := part.get(name), int | float) and math.isfinite(value)
    }


def counted(measure: Path) -> tuple[Counted, ...]:
    """What the engine's own `/metrics` says changed during the first launch's measurement, by name."""
    for folder in _launches(measure)[:1]:
        before, after = dict(_metrics(folder / BEFORE)), dict(_metrics(folder / AFTER))
        rows = [
            Counted(name=name, before=before.get(name, 0.0), after=value)
            for name, value in after.items()
            if value != before.get(name, 0.0)
        ]
        return tuple(sorted(rows, key=lambda r: r.name)[:MOST_COUNTED])
    return ()


def _metrics(path: Path) -> Iterator[tuple[str, float]]:
    try:
        text = reading.text(reading.head(path, BYTES).data)
    except reading.NOT_READ:
        return
    for line in text.split("\n"):
        match = LINE.match(line)
        if match is None or any(part in match[1] for part in SKIPPED):
            continue
        try:
            value = float(match[3])
        except ValueError:
            continue
        if math.isfinite(value):
            yield redacted(f"{match[1]}{match[2] or ''}")[:200], value


def _launches(measure: Path) -> list[Path]:
    return sorted(p for p in measure.glob("launch-*") if p.is_dir() and not p.is_symlink())
