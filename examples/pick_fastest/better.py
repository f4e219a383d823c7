"""Exit code 0 when the first evaluation passes the quality gate and beats the second one (if there is a second)."""

import json
import sys
from pathlib import Path

LOWER_IS_BETTER = json.loads(Path("task.json").read_text())["lower_is_better"]


def main() -> int:
    candidate, *best = (json.loads(Path(name).read_text()) for name in sys.argv[1:])
    if candidate["quality_passed"] is False:
        return 1
    if not best:
        return 0
    faster = candidate["value"] < best[0]["value"]
    return 0 if faster == LOWER_IS_BETTER else 1


sys.exit(main())
