"""The zoo: every known cheat, and honest controls, as small submissions; in goes a suite, out comes what caught each.

`fixtures/NAME` holds a submission and its manifest `fixture.toml`, `common` what submissions share; `model` reads them,
`agent` makes each a row like any other (`zoo:NAME`), and `zoo` runs them all through the pipeline. None of this is
visible inside a sandbox: an agent shall not learn here how to cheat.
"""
