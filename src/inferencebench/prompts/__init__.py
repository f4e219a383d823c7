"""The task in words. In: a run's spec and the facts of its machine. Out: the text an agent is given, rendered from
templates, one per variant of the prompt condition."""
