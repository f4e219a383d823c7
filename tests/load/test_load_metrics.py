"""Formulas against hand-computed values, validity, and files that give everything back."""

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from load_helpers import sample

from inferencebench.errors import UserError
from inferencebench.load.metrics import by_profile, distribution, measurement, profile_metrics, tpot_s, ttft_s
from inferencebench.load.model import ChunkSample, Samples
from inferencebench.load.parse import merge
from inferencebench.load.store import read_samples, write_samples


def chunk(request: str, index: int, t_s: float, coalesced: bool = False, lag_s: float | None = 1e-5) -> ChunkSample:
    return ChunkSample(request, index, t_s, 250, " x", coalesced, lag_s)


def test_latencies_by_hand() -> None:
    assert ttft_s(sample()) == 1.0
    assert tpot_s(sample()) == pytest.approx(2.0 / 10)
    # A first chunk of 6 tokens leaves 5 that came in 2 s.
    assert tpot_s(sample(first_chunk_tokens=6)) == pytest.approx(2.0 / 5)
    assert tpot_s(sample(first_chunk_tokens=11)) is None
    assert ttft_s(sample(ok=False)) is None


def test_profile_by_hand() -> None:
    requests = [
        sample(0),
        sample(1, sent_s=2.0, due_s=1.9, first_s=2.5, end_s=6.0, closed_s=6.0),
        sample(2, ok=False, error="http 500", sent_s=1.0, first_s=None, end_s=None, closed_s=9.0, counted_tokens=None),
    ]
    chunks = [
        chunk("p/0000", 0, 12.0),
        chunk("p/0000", 1, 13.0),
        chunk("p/0000", 2, 13.0, coalesced=True),
        chunk("p/0001", 0, 12.5),
        chunk("p/0001", 1, 16.0),
    ]
    got = profile_metrics("p", Samples(requests, chunks))
    assert (got.requests, got.succeeded, got.wall_s, got.failures) == (3, 2, 8.0, (("http 500", 1),))
    assert (got.requests_per_s, got.output_tokens_per_s) == (2 / 8, 22 / 8)
    assert got.generation_tokens_per_s == pytest.approx(22 / (2.0 + 3.5))
    assert got.concurrency_mean == pytest.approx((3 + 4 + 8) / 8)
    assert got.concurrency_max == 3
    assert got.ttft_s is not None
    assert (got.ttft_s.mean, got.ttft_s.p50, got.ttft_s.n) == (0.75, 0.75, 2)
    assert got.ttft_scheduled_s is not None
    assert got.ttft_scheduled_s.mean == pytest.approx((1.5 + 2.0) / 2)
    assert got.itl_s is not None
    assert (got.itl_s.n, got.itl_s.mean) == (3, pytest.approx((1.0 + 0.0 + 3.5) / 3))
    assert got.read_gap_s is not None
    assert (got.read_gap_s.n, got.read_gap_s.mean) == (2, pytest.approx((1.0 + 3.5) / 2))
    assert got.coalesced_share == pytest.approx(1 / 5)
    assert got.tokens_per_chunk == pytest.approx(22 / 5)
    assert got.full_length_share == 1.0


def test_measurement_by_hand() -> None:
    first = Samples([sample(0, sent_s=0.0, due_s=0.0, first_s=1.0, end_s=2.0, closed_s=2.0)], [])
    second = Samples([sample(0, sent_s=0.0, due_s=0.0, first_s=3.0, end_s=8.0, closed_s=8.0)], [])
    got = measurement({"a": first, "b": second}, 0.98)
    assert got.ttft_s == 2.0
    assert got.tpot_s == pytest.approx((0.1 + 0.5) / 2)
    assert got.requests_per_s == pytest.approx((0.5 * 0.125) ** 0.5)
    assert got.balanced_score == pytest.approx((1 / 2.0 / 0.3 * 0.25) ** (1 / 3))
    assert got.valid


def test_success_rate_at_its_bound() -> None:
    requests = [sample(i) for i in range(49)] + [sample(49, ok=False, error="timeout")]
    assert measurement({"p": Samples(requests, [])}, 0.98).valid
    requests[0] = sample(0, ok=False, error="timeout")
    got = measurement({"p": Samples(requests, [])}, 0.98)
    assert got.invalid_reasons == ("p: success rate 48/50 is below 0.98 (2 x timeout)",)


def test_no_success_starvation_and_a_slipped_schedule_are_invalid() -> None:
    failed = measurement({"p": Samples([sample(ok=False, error="reset")], [])}, 0.98)
    assert failed.invalid_reasons == ("p: no successful request of 1 (1 x reset)",)
    assert failed.requests_per_s == 0
    starved = measurement({"p": Samples([sample()], [chunk("p/0000", 0, 1.0, lag_s=0.2)])}, 0.98)
    assert starved.invalid_reasons == ("p: client starved: p99 of the receive lag is 0.200 s, above 0.05 s",)
    assert starved.client_stamp_lag_p99_s == 0.2
    slipped = measurement({"p": Samples([sample(due_s=0.7)], [])}, 0.98)
    assert slipped.invalid_reasons == ("p: schedule slipped: p99 of the send lag is 0.300 s, above 0.05 s",)
    assert not measurement({}, 0.98).valid


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50))
def test_distribution_is_ordered_and_within_its_values(values: list[float]) -> None:
    got = distribution(values)
    assert got is not None
    assert min(values) <= got.p50 <= got.p90 <= got.p99 <= max(values)
    assert got.n == len(values)


def test_merged_profiles_come_apart_again() -> None:
    a = Samples([sample(0, id="a/0000", profile="a")], [chunk("a/0000", 0, 1.0)])
    b = Samples([sample(0, id="b/0000", profile="b")], [chunk("b/0000", 0, 2.0)])
    assert by_profile(merge([a, b])) == {"a": a, "b": b}


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@settings(deadline=None)
@given(text=texts, error=st.none() | texts, first=st.none() | st.floats(0, 1e9), lag=st.none() | st.floats(0, 1))
def test_files_give_back_every_field(
    tmp_path_factory: pytest.TempPathFactory, text: str, error: str | None, first: float | None, lag: float | None
) -> None:
    folder: Path = tmp_path_factory.mktemp("samples")
    requests = [sample(0, text=text, error=error, first_s=first), sample(1, status=None, counted_tokens=None)]
    samples = Samples(requests, [ChunkSample("p/0000", 0, 1.5, 3, text, True, lag)])
    write_samples(folder, samples)
    assert read_samples(folder) == samples
    assert sorted(path.name for path in folder.iterdir()) == ["chunks.parquet", "requests.parquet"]


def test_empty_and_missing_files(tmp_path: Path) -> None:
    write_samples(tmp_path, Samples([], []))
    assert read_samples(tmp_path) == Samples([], [])
    with pytest.raises(UserError, match="no requests"):
        read_samples(tmp_path / "elsewhere")


def test_either_library_reads_what_the_other_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed (GPU images have it)")
    samples = Samples([sample(0, error=None), sample(1, status=None)], [chunk("p/0000", 0, 1.0, lag_s=None)])
    none = Samples([], [])
    for writer, reader in (("polars", None), (None, "polars"), (None, None)):
        for wanted in (samples, none):
            monkeypatch.setattr("inferencebench.load.parquet.find_spec", lambda _, found=writer: found)
            write_samples(tmp_path, wanted)
            monkeypatch.setattr("inferencebench.load.parquet.find_spec", lambda _, found=reader: found)
            assert read_samples(tmp_path) == wanted


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = Samples([sample()], [chunk("p/0000", 0, 1.0)])
    write_samples(tmp_path, old)

    def full(_fd: int) -> None:
        raise OSError(28, "no space left")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_samples(tmp_path, Samples([sample(1)], []))
    assert read_samples(tmp_path) == old
    assert len(list(tmp_path.iterdir())) == 2


def test_metrics_are_frozen() -> None:
    with pytest.raises((dataclasses.FrozenInstanceError, ValueError)):
        profile_metrics("p", Samples([], [])).requests = 5  # type: ignore[misc]
