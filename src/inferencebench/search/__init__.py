"""Stage `search`: an engine's settings and a budget in; the launcher of the best confirmed configuration out.

`space` reads and checks the YAML files in `spaces/`; `samplers` propose; `protocol` decides what is measured, believed
and kept; `paper` is the published protocol, for comparison; `journal` makes both resumable; `report` shows what was
done. What runs a trial is a `Machine`: the evaluation service's, or a simulated one.
"""
