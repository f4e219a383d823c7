"""Executors: where and when a run's command runs. In: tasks with an argument list. Out: how each placement ended.

They never read results, and never decide whether a run is repeated: that is the driver's.
"""
