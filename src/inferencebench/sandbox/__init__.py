"""Stage `sandbox`: the wall. Untrusted commands run inside; the harness stays outside."""
