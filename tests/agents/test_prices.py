"""What calls cost, by hand; and a campaign's own prices."""

from datetime import date
from pathlib import Path

import pytest

from inferencebench.agents.meter import Call, by_model
from inferencebench.agents.prices import listed, load
from inferencebench.agents.usage import Usage
from inferencebench.errors import UserError

USAGE = Usage(input_tokens=1000, cached_input_tokens=20_000, cache_write_tokens=3000, output_tokens=400)


@pytest.mark.parametrize(
    ("model", "usage", "usd"),
    [
        ("claude-opus-4-7", USAGE, 1e-6 * (1000 * 5 + 20_000 * 0.5 + 3000 * 6.25 + 400 * 25)),
        ("claude-haiku-4-5-20251001", Usage(output_tokens=1_000_000), 5.0),
        ("gpt-5.4", Usage(input_tokens=200_000, cached_input_tokens=72_000), 0.5 + 0.018),
        ("gpt-5.4-2026-03-05", Usage(input_tokens=200_001, cached_input_tokens=72_000), 1.000005 + 0.036),  # long
        ("gemini-2.5-pro", Usage(input_tokens=100, cache_write_tokens=100), 200 * 1.25e-6),
        ("gpt-5.4-unheard-of", USAGE, None),
        ("", USAGE, None),
    ],
)
def test_list_prices(model: str, usage: Usage, usd: float | None) -> None:
    assert listed().usd(model, usage) == (None if usd is None else pytest.approx(usd))


def test_the_table_says_when_and_where_it_was_read() -> None:
    table = listed()
    assert date.fromisoformat(table.as_of) <= date.today()
    assert all(page.startswith("https://") for page in table.pages.values())
    assert len(table.models) > 30
    for price in table.models.values():
        assert 0 < (price.cached_input or price.input) <= price.input < price.output


def _call(model: str, **fields: object) -> Call:
    given = {"at_s": 0, "seconds": 1, "invocation": 0, "method": "POST", "path": "/", "status": 200, "generates": True}
    return Call.model_validate({**given, "model": model, **fields})


def test_calls_are_priced_one_by_one_and_summed_by_model() -> None:
    half = Usage(input_tokens=150_000)
    calls = [
        _call("gpt-5.4", usage=half), _call("gpt-5.4", usage=half), _call("x", usage=half), _call("x"),
        _call("gpt-5.4", status=429), _call("gpt-5.4", status=403, refused="limit"), _call("", generates=False),
    ]  # fmt: skip
    gpt, unknown = by_model(calls, listed())
    assert (gpt.usd, gpt.usage.input_tokens, gpt.usage.requests) == (pytest.approx(0.75), 300_000, 3)  # none is long
    assert (unknown.usd, unknown.unmetered) == (None, 1)


OWN = 'as_of = "2026-12-01"\nsource = "our contract"\n[models]\nown-1 = { input = 1, output = 2 }\n'


def test_a_campaign_adds_and_replaces_prices(tmp_path: Path) -> None:
    assert load(tmp_path) == listed()
    (tmp_path / "prices.toml").write_text(OWN + "gpt-5-4 = { input = 0, output = 0 }\n")
    table = load(tmp_path)
    assert table.usd("own-1", Usage(cached_input_tokens=1_000_000, output_tokens=1_000_000)) == 3
    assert table.usd("gpt-5-4", USAGE) == 0
    assert table.usd("claude-opus-4-7", USAGE) == listed().usd("claude-opus-4-7", USAGE)
    assert "our contract" in table.source


@pytest.mark.parametrize("text", ["x", OWN.replace("2 }", "-2 }"), OWN.replace("as_of", "as"), OWN + "b = 1\n"])
def test_a_bad_file_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "prices.toml").write_text(text)
    with pytest.raises(UserError, match=r"prices\.toml: ") as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)
