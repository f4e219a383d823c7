"""Stage `models`: from a suite's `Model` to a checkpoint directory on disk, hash-pinned and cached."""
