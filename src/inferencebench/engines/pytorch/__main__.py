"""`python -m inferencebench.engines.pytorch serve`: the reference server in the foreground."""

import argparse
import os
import sys
from pathlib import Path

from inferencebench.engines.pytorch.reference import DTYPES, Reference, ReferenceOptions
from inferencebench.errors import BenchError


def main(argv: list[str] | None = None) -> int:
    """Parse, load, serve until SIGTERM or SIGINT. Returns the exit code."""
    options = _parser().parse_args(argv)
    try:
        reference = Reference(
            ReferenceOptions(model=options.model, dtype=options.dtype, device=options.device, threads=options.threads)
        )
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    import uvicorn

    from inferencebench.engines.pytorch.server import create_app

    app = create_app(reference, options.served_name or options.model.name)
    # A request that is still generating must not hold up the end of the server.
    uvicorn.run(app, host=options.host, port=options.port, log_level="warning", timeout_graceful_shutdown=1)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m inferencebench.engines.pytorch", description=__doc__)
    serve = parser.add_subparsers(required=True, metavar="COMMAND").add_parser("serve", help="serve a checkpoint")
    serve.add_argument("--model", type=Path, required=True, help="checkpoint directory")
    serve.add_argument("--served-name", help="model id of the API (default: the directory's name)")
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", type=int, default=8000)
    serve.add_argument(
        "--dtype",
        choices=DTYPES,
        default=os.environ.get("IB_DTYPE") or "auto",
        help="default: $IB_DTYPE, else the checkpoint's",
    )
    serve.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, ... (default: auto)")
    serve.add_argument("--threads", type=int, help="CPU threads of one request (default: the affinity mask's cores)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
