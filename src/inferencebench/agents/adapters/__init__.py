"""Command-line coding agents, one module each: how to start and continue it, its files, and how to read its events."""
