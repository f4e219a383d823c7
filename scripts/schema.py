#!/usr/bin/env python3
"""Write the JSON schemas of the published records to docs/schema/. A test holds them against the code."""

import json
from pathlib import Path

from inferencebench.run.record import Result
from inferencebench.run.spec import RunSpec

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "schema"
RECORDS = {"result": Result, "spec": RunSpec}


def texts() -> dict[str, str]:
    """File name to content."""
    return {
        f"{name}.schema.json": json.dumps(record.model_json_schema(), indent=1) + "\n"
        for name, record in RECORDS.items()
    }


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in texts().items():
        (FOLDER / name).write_text(text)
