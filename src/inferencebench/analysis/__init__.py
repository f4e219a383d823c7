"""Stage `analysis`: result records in; tables out. Reads directories, never a sandbox."""
