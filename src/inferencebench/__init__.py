"""InferenceBench: can an autonomous agent make an LLM server fast?

A run takes a suite, a scenario and an agent to a scored record. The folders are its stages, in order: `suites` (what
is asked), `models` (the checkpoint), `workload` (request sets and questions), `agents` (who answers), `sandbox` and
`serve` (where it runs), `load` (measuring), `gates` (quality and integrity), `run` (the pipeline), `cli`.
"""

__version__ = "0.1.0"

MEASUREMENT_VERSION = 2
"""Version of what a number means: bumped when load client, metrics or reference server change it.

Baselines measured under another version are never compared with."""

RECORD_VERSION = 1
"""`schema_version` of `result.json` and `spec.json`."""
