"""Distributions of a run's latencies from its stored samples, as few points of each distribution function."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from inferencebench.load.store import CHUNKS, REQUESTS
from inferencebench.site.model import Quantiles

if TYPE_CHECKING:
    import polars as pl

POINTS = 120
"""Most points of one distribution."""
MOST_CHUNK_BYTES = 256 << 20
"""A larger file of chunks is not read for the gaps."""
_COLUMNS = ("id", "profile", "ok", "sent_s", "first_s", "end_s", "counted_tokens", "first_chunk_tokens")


class Unreadable(Exception):
    """A file of samples that is damaged or of another version."""


def distributions(measure: Path) -> Iterator[Quantiles]:
    """Those of all launches in a run's `measure/`, successful requests only: TTFT = first token - send; TPOT = (end -
    first) / tokens after the first chunk's; latency = end - send; ITL = gaps between chunks.

    Raises Unreadable for damaged samples."""
    import polars as pl

    launches = sorted(p for p in measure.glob("launch-*") if (p / REQUESTS).is_file() and not p.is_symlink())
    for number, launch in enumerate(launches):
        suffix = f" (launch {number + 1})" if len(launches) > 1 else ""
        try:
            yield from _of_launch(launch, suffix)
        except (OSError, ValueError, pl.exceptions.PolarsError) as error:
            raise Unreadable(f"{launch.name}: {type(error).__name__}") from error
        except BaseException as error:
            # Damaged Parquet can make polars panic, which is no Exception.
            if type(error).__name__ != "PanicException":
                raise
            raise Unreadable(f"{launch.name}: damaged samples") from None


def _of_launch(launch: Path, suffix: str) -> Iterator[Quantiles]:
    import polars as pl

    requests = pl.read_parquet(launch / REQUESTS, columns=list(_COLUMNS)).filter("ok")
    spent = pl.col("end_s") - pl.col("first_s")
    after_first = pl.col("counted_tokens") - pl.col("first_chunk_tokens")
    timed = requests.with_columns(
        ((pl.col("first_s") - pl.col("sent_s")) * 1e3).alias("TTFT"),
        pl.when(after_first > 0).then(spent / after_first * 1e3).alias("TPOT"),
        ((pl.col("end_s") - pl.col("sent_s")) * 1e3).alias("latency"),
    )
    for (profile,), part in timed.group_by(["profile"], maintain_order=True):
        for name in ("TTFT", "TPOT"):
            yield from _quantiles(name, f"{profile}{suffix}", part[name])
        yield from _gaps(launch / CHUNKS, part, f"{profile}{suffix}")
        yield from _quantiles("latency", f"{profile}{suffix}", part["latency"])


def _gaps(path: Path, part: "pl.DataFrame", load: str) -> Iterator[Quantiles]:
    import polars as pl

    if not path.is_file() or path.stat().st_size > MOST_CHUNK_BYTES:
        return
    chunks = pl.read_parquet(path, columns=["request", "t_s"]).filter(pl.col("request").is_in(part["id"].implode()))
    gaps = chunks.select((pl.col("t_s").diff().over("request") * 1e3).alias("ms"))["ms"]
    yield from _quantiles("ITL", load, gaps)


def _quantiles(name: str, load: str, values: "pl.Series") -> Iterator[Quantiles]:
    """Nothing where no value is finite."""
    present = values.drop_nulls()
    present = present.filter(present.is_finite()).sort()
    n = len(present)
    if not n:
        return
    places = sorted({round(i * (n - 1) / (POINTS - 1)) for i in range(POINTS)}) if n > POINTS else list(range(n))
    yield Quantiles(
        name=name,
        load=load,
        n=n,
        ms=tuple(round(float(v), 4) for v in present.gather(places)),
        share=tuple(round((i + 1) / n, 5) for i in places),
    )
