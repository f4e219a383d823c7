"""Request files and their schedules."""

import json
from pathlib import Path

import pytest
from load_helpers import sample

from inferencebench.errors import MissingError, UserError
from inferencebench.load.dataset import Load, read_rows, schedule
from inferencebench.load.model import Samples
from inferencebench.load.parse import reported_tokens
from inferencebench.load.remote import endpoint
from inferencebench.load.session import MeasureRecord, Work, record
from inferencebench.load.sweep import knee, sweep

LINE = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 4}


def file_of(folder: Path, *lines: object) -> Path:
    path = folder / "requests.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


def test_a_line_is_sent_as_it_is_and_what_is_missing_is_filled_in(tmp_path: Path) -> None:
    own = {"model": "mine", "stream": False, "top_p": 0.5, "ignore_eos": True, "timestamp_s": 3, "prompt_tokens": 9}
    plain, rich = read_rows(file_of(tmp_path, LINE, "", LINE | own), "served")
    assert json.loads(plain.body) == LINE | {
        "model": "served", "stream": True, "stream_options": {"include_usage": True},
    }  # fmt: skip
    assert json.loads(rich.body) == LINE | {"model": "mine", "stream": False, "top_p": 0.5, "ignore_eos": True}
    assert (plain.forced_length, rich.forced_length, rich.timestamp_s, rich.prompt_tokens) == (False, True, 3, 9)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 2: not JSON"),
        ([1], "expected a JSON object"),
        ({"max_tokens": 4}, "messages is missing"),
        (LINE | {"messages": ["hi"]}, "no object with a role"),
        ({"messages": LINE["messages"]}, "max_tokens is null"),
        (LINE | {"max_tokens": 0}, "max_tokens is 0"),
        (LINE | {"max_tokens": True}, "max_tokens is true"),
        (LINE | {"timestamp_s": "soon"}, "timestamp_s is"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: object, says: str) -> None:
    with pytest.raises(UserError, match=says):
        read_rows(file_of(tmp_path, LINE, line), "m")


def times(folder: Path, load: Load, lines: int = 3) -> list[float]:
    rows = read_rows(file_of(folder, *(LINE | {"timestamp_s": 100 + i * i} for i in range(lines))), "m")
    return [request.offset_s for request in schedule(rows, load, "p")[1]]


def test_schedules_by_hand(tmp_path: Path) -> None:
    assert times(tmp_path, Load("burst")) == [0, 0, 0]
    assert times(tmp_path, Load("burst", limit=5)) == [0] * 5
    assert times(tmp_path, Load("constant", 2.0)) == [0, 0.5, 1]
    assert times(tmp_path, Load("constant", 2.0, duration_s=2.0)) == [0, 0.5, 1, 1.5, 2]
    assert times(tmp_path, Load("constant", 2.0, duration_s=2.0, limit=3)) == [0, 0.5, 1]
    assert times(tmp_path, Load("trace")) == [0, 1, 4]
    assert times(tmp_path, Load("trace", duration_s=2.0)) == [0, 1]
    poisson = times(tmp_path, Load("poisson", 50.0, duration_s=20.0, seed=3))
    assert len(poisson) == pytest.approx(1000, abs=4 * 1000**0.5)
    assert poisson[-1] <= 20


@pytest.mark.parametrize(
    ("load", "says"),
    [
        (Load("poisson"), "needs --rate"),
        (Load("burst", 2.0), "--rate is for"),
        (Load("burst", duration_s=3.0), "use --arrival closed"),
        (Load("poisson", 0.01, duration_s=0.001), "no request falls"),
    ],
)
def test_loads_that_make_no_sense(tmp_path: Path, load: Load, says: str) -> None:
    with pytest.raises(UserError, match=says):
        times(tmp_path, load)


def test_a_trace_must_have_times_in_order(tmp_path: Path) -> None:
    for second, says in ((LINE, "has no timestamp_s"), (LINE | {"timestamp_s": 0}, "before that of the one above")):
        rows = read_rows(file_of(tmp_path, LINE | {"timestamp_s": 1}, second), "m")
        with pytest.raises(UserError, match=says):
            schedule(rows, Load("trace"), "p")


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("http://h:8000", "http://h:8000/v1"),
        ("http://h:8000/", "http://h:8000/v1"),
        ("https://h/v1/", "https://h/v1"),
        ("http://h/api/v2/chat/completions", "http://h/api/v2"),
        ("http://[::1]:80/v1", "http://[::1]/v1"),
    ],
)
def test_urls(url: str, seen: str) -> None:
    assert endpoint(url).url == seen


@pytest.mark.parametrize("url", ["h:8000", "ftp://h", "http://", "http://h:x", "http://u@h", "http://h/?q"])
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(UserError):
        endpoint(url)


def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "sesame")
    assert endpoint("http://h", "SOME_KEY").target().headers == (("Authorization", "Bearer sesame"),)
    monkeypatch.delenv("SOME_KEY")
    with pytest.raises(MissingError, match="SOME_KEY"):
        endpoint("http://h", "SOME_KEY")


def test_tokens_without_a_tokenizer() -> None:
    assert (reported_tokens(7, 3, 10), reported_tokens(70, 3, 10), reported_tokens(None, 3, 10)) == (7, 10, 3)


def point(tokens: int, latency_s: float, *, ok: bool = True) -> MeasureRecord:
    """One request of `tokens` tokens within `latency_s`."""
    row = sample(
        sent_s=0.0, due_s=0.0, scheduled_s=0.0, first_s=latency_s / 2, end_s=latency_s, closed_s=latency_s, ok=ok,
        error=None if ok else "reset", counted_tokens=tokens, max_tokens=tokens,
    )  # fmt: skip
    return record("http://h/v1", Work("file", "m", (), min_success_rate=0.9), Samples([row], []))


def test_knee_by_hand() -> None:
    # Throughput 10, 20, 24, 25 tokens/s at a latency of 1, 1, 2, 4 s: power 10, 20, 12, 6.25.
    points = {1.0: point(10, 1), 2.0: point(20, 1), 4.0: point(48, 2), 8.0: point(100, 4)}
    got = sweep(points, "concurrency", points.__getitem__)
    assert got.power == pytest.approx((10, 20, 12, 6.25))
    assert (got.knee, got.knee_reached) == (1, True)
    growing = sweep([2, 1], "concurrency", points.__getitem__)
    assert (growing.loads, growing.knee, growing.knee_reached) == ((1, 2), 1, False)


def test_an_invalid_point_is_no_knee() -> None:
    points = {1.0: point(10, 1), 2.0: point(90, 1, ok=False)}
    got = sweep(points, "concurrency", points.__getitem__)
    assert (got.knee, got.power) == (0, (10.0, None))
    assert knee([None, None]) is None
    assert knee([2.0, 2.0]) == 0


def test_short_replies_to_forced_lengths_are_invalid() -> None:
    short = Samples([sample(counted_tokens=40, max_tokens=100)], [])
    work = Work("file", "m", (), forced_length=True)
    got = record("http://h/v1", work, short)
    assert not got.valid
    assert got.invalid_reasons == ("p: lengths not honoured: 40 of 100 forced tokens in 1 replies",)
    full = Samples([sample(counted_tokens=97, max_tokens=100)], [])
    assert record("http://h/v1", work, full).valid
    assert not record("http://h/v1", work, full, interrupted=True).valid
    # One reply of odd text among many that are whole may differ by more; two that stop half-way may not.
    whole = [sample(i, counted_tokens=100, max_tokens=100) for i in range(9)]
    odd = sample(9, counted_tokens=90, max_tokens=100)
    assert record("http://h/v1", work, Samples([*whole, odd], [])).valid
    half = [sample(i, counted_tokens=50, max_tokens=100) for i in (9, 10)]
    assert not record("http://h/v1", work, Samples([*whole, *half], [])).valid
