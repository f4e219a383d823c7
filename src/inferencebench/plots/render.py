"""Charts to files. altair and vl-convert are an extra of the package."""

from pathlib import Path
from typing import TYPE_CHECKING

from inferencebench.errors import MissingError, UserError
from inferencebench.files import write_atomic

if TYPE_CHECKING:
    import altair as alt

FORMATS = (".svg", ".html", ".png")
_PNG_SCALE = 2.0


def check(path: Path) -> None:
    """Whether a chart can be written to `path`: asked before a measurement, not after.

    Raises UserError for another format or a missing directory, MissingError without the plotting packages.
    """
    if path.suffix.lower() not in FORMATS:
        raise UserError(f"{path}: a plot is written as {', '.join(FORMATS)}; give the file one of these endings")
    if not path.absolute().parent.is_dir():
        raise UserError(f"{path}: the directory does not exist")
    try:
        import altair
        import vl_convert  # noqa: F401
    except ImportError:
        raise MissingError("plots need altair and vl-convert: pip install 'inferencebench[plots]'") from None
    del altair


def save(chart: "alt.TopLevelMixin", path: Path) -> None:
    """Write a chart in the format of the file's ending, atomically."""
    import vl_convert

    check(path)
    specification = chart.to_dict()
    kind = path.suffix.lower()
    if kind == ".svg":
        write_atomic(path, vl_convert.vegalite_to_svg(specification))
    elif kind == ".png":
        write_atomic(path, vl_convert.vegalite_to_png(specification, scale=_PNG_SCALE))
    else:
        write_atomic(path, vl_convert.vegalite_to_html(specification, bundle=True))
