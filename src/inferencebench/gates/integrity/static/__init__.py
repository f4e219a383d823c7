"""Static rules: what the files of a submission say about it. In: a frozen submission. Out: findings with quotes.

A finding never fails a run, since honest code may look alike: it asks a person to look.
"""
