"""Stage `suites`: TOML in, typed and hashed `Suite` out."""
