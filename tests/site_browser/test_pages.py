"""The built site in a real Chromium, from file://: what a reader does, and that nothing leaves the page."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from inferencebench.site.build import build
from tests.site.campaigns import AGENTS, campaign

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium: apt install chromium")

SHOTS = Path(os.environ.get("SITE_SHOTS", "site-screenshots"))


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    records = tmp_path_factory.mktemp("records")
    campaign(records)
    return build([records], tmp_path_factory.mktemp("site") / "out").front.parent


@pytest.fixture(scope="session")
def few(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The baseline and a script of one request each, each run once more as a repeat."""
    records = tmp_path_factory.mktemp("few")
    for folder in campaign(records, (AGENTS[0], AGENTS[12]), requests=1):
        repeat = Path(shutil.copytree(folder, folder / "r1"))
        again = json.loads((repeat / "result.json").read_text()) | {"repeat": 1}
        (repeat / "result.json").write_text(json.dumps(again))
    return build([records], site.parent / "few").front.parent


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]  # a container's /dev/shm may be too small
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield launched
        launched.close()


@pytest.fixture(params=[(1280, "light"), (360, "dark")], ids=["wide-light", "phone-dark"])
def page(browser: Any, site: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A page whose every request and complaint is watched."""
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "request", lambda sent: None if sent.url.startswith((site.parent.as_uri(), "data:")) else wrong.append(sent.url)
    )
    page.on("dialog", lambda dialog: wrong.append(dialog.message))
    yield page
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways"
    assert page.title() != "taken"
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{re.sub(r'[^a-z0-9-]+', '-', request.node.name)}.png", full_page=True)
    context.close()
    assert wrong == []


def order(page: Any, table: str = "board-table") -> list[str]:
    """Names of the rows from the top."""
    return [text.splitlines()[0] for text in page.locator(f"#{table} tbody th").all_inner_texts()]


def test_a_scenario_re_ranks_and_the_address_keeps_it(page: Any, site: Path) -> None:
    page.goto(f"{site.as_uri()}/index.html")
    before = order(page)
    assert len(before) == 15
    page.locator("#focus label", has_text="decode").click()
    assert "focus=decode" in page.url
    after = order(page)
    assert sorted(after) == sorted(before)
    assert after != before
    column = page.locator("#board-table thead th").all_inner_texts().index("decode")
    shown = page.locator(f"#board-table tbody tr > :nth-child({column + 1})").all_inner_texts()
    values = [float(re.match(r"[\d.]+", text).group()) for text in shown]  # type: ignore[union-attr]
    assert values == sorted(values, reverse=True)
    page.reload()
    assert order(page) == after


def test_filters_and_search(page: Any, site: Path) -> None:
    page.goto(f"{site.as_uri()}/index.html")
    page.select_option("#kind", "search")
    assert order(page) == ["SMAC search · vllm", "random search · vllm"]
    page.select_option("#kind", "")
    page.select_option("#condition", "budget_s=600.0")
    assert order(page) == ["claude-haiku-4-5, budget 10 min"]
    page.select_option("#condition", "")
    page.fill("#q", "sonnet")
    assert order(page) == ["claude-sonnet-4-6"]
    assert page.locator("#run-table tbody tr").count() == 12
    page.click("button[type=reset]")
    assert len(order(page)) == 15


def test_published_results_are_a_switch(page: Any, site: Path) -> None:
    page.goto(f"{site.as_uri()}/index.html")
    assert page.locator("#published-table").count() == 0
    page.check("#published")
    assert order(page, "published-table")[0] == "SMAC"
    assert page.locator("#published-table tbody tr").count() == 22
    page.locator("#focus label", has_text="throughput").click()
    assert order(page, "published-table")[0] == "SGLang default"


def test_a_run_page_shows_hostile_text_as_text(page: Any, site: Path) -> None:
    page.goto(f"{site.as_uri()}/index.html#q=taken")
    page.locator("#run-table a").first.click()
    page.wait_for_selector("#timeline svg")
    assert page.locator("#latency svg").count() == 4
    assert page.locator("table.launches tbody tr").count() >= 6
    assert "<script>document.title" in page.locator("h1").inner_text()
    assert "Traceback: out of memory" in page.locator(".steps").first.inner_text()
    assert "[redacted]" in page.locator("pre.code").first.inner_text()


def test_a_single_value_is_a_dot_on_an_axis_that_can_be_read(page: Any, few: Path) -> None:
    page.goto(f"{few.as_uri()}/index.html#q=script")
    page.locator("#run-table a").first.click()
    page.wait_for_selector("#latency svg")
    alone = page.locator("#latency .card", has=page.locator("h3", has_text=re.compile("TTFT|TPOT|latency")))
    assert alone.count() == 3
    for card in alone.all():
        assert card.locator("svg circle").count() == 1
        ticks = card.locator('svg [aria-label="x-axis tick label"] text').all_text_contents()
        assert len(ticks) >= 3
        assert max(map(len, ticks)) <= 6


def test_few_runs_are_counted_in_whole_numbers(page: Any, few: Path) -> None:
    page.goto(f"{few.as_uri()}/index.html#focus=decode")
    ticks = page.locator('#outcome-chart svg [aria-label="x-axis tick label"] text').all_text_contents()
    assert ticks == ["0", "1", "2", "3"]


def test_scripts_are_asked_for_no_technique_and_repeats_cost_nothing(page: Any, few: Path) -> None:
    page.goto(f"{few.as_uri()}/index.html")
    for chart in ("technique-chart", "configuration-chart"):
        assert page.locator(f"#{chart}").inner_text() == "No agent here left a transcript."
    assert page.locator("#engine-chart svg").count() == 1
    assert page.locator("#cost-table tbody tr > :nth-child(2)").all_inner_texts() == ["12", "12"]


def test_two_runs_are_compared(page: Any, site: Path) -> None:
    page.goto(f"{site.as_uri()}/index.html#q=sonnet&focus=decode")
    boxes = page.locator("#run-table input[type=checkbox]")
    boxes.nth(0).check()
    boxes.nth(1).check()
    page.click("#compare-link")
    page.wait_for_selector("#facts td")
    assert "B ÷ A" in page.locator("#facts thead").inner_text()
    assert page.locator("#latency svg").count() == 4
    before = page.url
    page.click("#swap")
    page.wait_for_function("before => location.href !== before", arg=before)


def test_how_agents_worked_follows_the_filters(page: Any, site: Path) -> None:
    page.goto(f"{site.as_uri()}/index.html")
    shown = page.locator("#engine-chart svg").text_content()
    assert "vllm" in shown
    assert "sglang" in shown
    assert page.locator("#trace-cards article").count() == 6
    page.fill("#q", "sonnet")
    assert page.locator("#trace-cards article").count() == 1
    page.locator("#trace-cards a").click()
    page.wait_for_selector("table.launches")


def test_every_table_is_there_and_can_be_downloaded(page: Any, site: Path) -> None:
    page.goto(f"{site.as_uri()}/tables.html")
    titles = page.locator("article.table h3").all_inner_texts()
    assert len(titles) >= 15
    for link in page.locator("p.files a").all():
        assert (site / link.get_attribute("href")).stat().st_size > 20
    assert "claude-code:claude-sonnet-4-6" in page.locator("article.table").first.inner_text()


def test_charts_have_tables_and_everything_has_a_name(page: Any, site: Path) -> None:
    page.goto(f"{site.as_uri()}/index.html")
    assert (
        page.locator("figure > svg[role=img][aria-label]").count() == page.locator("figure > details.data").count() >= 7
    )
    assert page.evaluate("[...document.querySelectorAll('input,select')].every(e => e.labels.length || e.ariaLabel)")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"


def test_the_theme_can_be_chosen(page: Any, site: Path) -> None:
    page.goto(f"{site.as_uri()}/index.html")
    colours = set()
    for _ in range(3):
        colours.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        page.click("#theme")
    assert len(colours) == 2
