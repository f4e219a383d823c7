"""Judges: two model families look at the evidence of a run, blind to each other and to its score.

In: evidence, the submission's files, the transcript, all as quoted data. Out: verdicts by label with verified quotes. A
judge may ask for a review; it clears nothing and fails nothing by itself.
"""
