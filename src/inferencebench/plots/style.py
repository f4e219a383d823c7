"""What all charts share: colours, fonts, sizes."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import altair as alt

BLUE, ORANGE, GREY, RED = "#2f6db3", "#e07b39", "#8a8f98", "#c0392b"
SERIES = (BLUE, ORANGE, "#3a9d6e", "#8e5aa8", "#b8912a", "#5b6770")
WIDTH, HEIGHT = 380, 220
"""Of one panel, pixels."""


def values(rows: list[dict[str, Any]]) -> "alt.InlineData":
    """Rows as chart data; no data frame is needed."""
    import altair as alt

    return alt.InlineData(values=rows)


def finished(chart: Any, title: str, subtitle: list[str]) -> Any:
    """The chart with its title above everything, on white, for screens and paper alike."""
    import altair as alt

    heading = alt.TitleParams(title, subtitle=subtitle, anchor="start", fontSize=16, subtitleColor=GREY, offset=16)
    return (
        chart.properties(title=heading, background="white", padding=16)
        .configure(font="sans-serif")
        .configure_view(stroke=None)
        .configure_axis(
            gridColor="#ececec",
            domainColor="#b5b9bf",
            tickColor="#b5b9bf",
            labelColor="#444444",
            titleColor="#444444",
            titleFontWeight="normal",
            tickCount=6,
        )
        .configure_title(fontSize=13, anchor="start", color="#222")
        .configure_legend(titleFontWeight="normal", labelColor="#444", titleColor="#444")
    )
