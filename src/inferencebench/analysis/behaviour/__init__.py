"""What an agent did: launches with their settings, and what they add up to. In: a run directory. Out: a `Conduct`.

By rules alone, without a model: from the harness's own evaluations, the tool calls of the trajectory (streamed, never
held whole) and the frozen launcher.
"""
