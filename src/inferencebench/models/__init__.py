"""Stage `models`: from a suite's `Model` to a checkpoint directory on disk, hash-pinned and cached.

In: a `suites.model.Model`. Out: `store.Checkpoint`, a plain directory of safetensors, config and tokenizer. `sources`
fetches or makes the files, `store` caches and verifies them, `surgery` damages copies of them for the gates' fixtures.
"""
