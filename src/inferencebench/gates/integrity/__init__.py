"""Integrity checks: evidence in; pass, review or fail with its numbers out."""
