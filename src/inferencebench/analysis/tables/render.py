"""A table as text, Markdown, CSV, LaTeX or JSON."""

import csv
import io
import json
from collections.abc import Callable

from inferencebench.analysis.tables.model import Column, Table, Value
from inferencebench.serve.text import printable

HOLE = "–"
CELL_CHARACTERS = 300
LATEX = str.maketrans(
    {"&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}",
     "^": r"\textasciicircum{}", "\\": r"\textbackslash{}", "–": "--", "±": r"$\pm$", "×": r"$\times$", "τ": r"$\tau$"}
)  # fmt: skip


def shown(column: Column, value: Value | None) -> str:
    """One cell for a reader: `8.08 ± 1.10`, an interval in brackets where there is one and no error."""
    if value is None or value.value is None:
        return HOLE
    if not isinstance(value.value, float):
        text = printable(str(value.value), CELL_CHARACTERS)
        digits = 0
    else:
        digits = column.digits
        text = f"{value.value:.{digits}f}"
    if value.sem is not None:
        return f"{text} ± {value.sem:.{digits}f}"
    if value.low is not None and value.high is not None and (value.low, value.high) != (value.value, value.value):
        return f"{text} [{value.low:.{digits}f}–{value.high:.{digits}f}]"
    return text


def header(column: Column) -> str:
    """Title and unit."""
    return f"{column.title}, {column.unit}" if column.unit else column.title


def grid(table: Table) -> list[list[str]]:
    """Header and rows as texts."""
    head = [header(column) for column in table.columns]
    return [head, *([shown(c, row.values.get(c.key)) for c in table.columns] for row in table.rows)]


def numeric(table: Table, column: Column) -> bool:
    """Whether a column holds numbers: those are aligned right."""
    values = [row.values[column.key].value for row in table.rows if column.key in row.values]
    return any(isinstance(v, (int, float)) for v in values) and not any(isinstance(v, str) for v in values)


def text(table: Table) -> str:
    """Aligned columns for a terminal, below them the notes."""
    lines = [[" ".join(cell.split("\n")) for cell in line] for line in grid(table)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    right = [numeric(table, column) for column in table.columns]
    out = [f"{table.title} ({table.source})", ""]
    for number, line in enumerate(lines):
        cells = [c.rjust(w) if r else c.ljust(w) for c, w, r in zip(line, widths, right, strict=True)]
        out.append("  ".join(cells).rstrip())
        if number == 0:
            out.append("  ".join("─" * w for w in widths))
    return "\n".join([*out, *(f"* {note}" for note in table.notes)]) + "\n"


def markdown(table: Table) -> str:
    """A Markdown table."""
    lines = [[cell.replace("|", r"\|").replace("\n", " ") for cell in line] for line in grid(table)]
    rule = ["---:" if numeric(table, column) else "---" for column in table.columns]
    rows = [f"| {' | '.join(line)} |" for line in (lines[0], rule, *lines[1:])]
    notes = ["", *(f"* {note}" for note in table.notes)] if table.notes else []
    return "\n".join([f"### {table.title} ({table.source})", "", *rows, *notes]) + "\n"


def comma_separated(table: Table) -> str:
    """Full precision, one column per number: KEY, and KEY_sem, KEY_low, KEY_high where any row has one."""
    fields: list[tuple[str, str]] = []
    for column in table.columns:
        own = [row.values[column.key] for row in table.rows if column.key in row.values]
        fields.append((column.key, "value"))
        fields += [
            (column.key, part) for part in ("sem", "low", "high") if any(getattr(v, part) is not None for v in own)
        ]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([key if part == "value" else f"{key}_{part}" for key, part in fields])
    for row in table.rows:
        writer.writerow([_field(row.values.get(key), part) for key, part in fields])
    return out.getvalue()


def _field(value: Value | None, part: str) -> object:
    found = getattr(value, part) if value is not None else None
    if isinstance(found, str) and found.startswith(("=", "+", "-", "@")):
        return f"'{found}"  # a spreadsheet would run it
    return "" if found is None else found


def latex(table: Table) -> str:
    """A `tabular` with booktabs rules."""
    lines = [[cell.translate(LATEX) for cell in line] for line in grid(table)]
    columns = "".join("r" if numeric(table, column) else "l" for column in table.columns)
    body = [" & ".join(line) + r" \\" for line in lines]
    rows = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", body[0], r"\midrule", *body[1:], r"\bottomrule"]
    return "\n".join([*rows, r"\end{tabular}"]) + "\n"


def as_json(table: Table) -> str:
    """The whole table, with the runs behind every value."""
    return json.dumps(table.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"


FORMATS: dict[str, Callable[[Table], str]] = {
    "text": text,
    "md": markdown,
    "csv": comma_separated,
    "json": as_json,
    "latex": latex,
}
