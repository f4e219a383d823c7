"""Stage `load`: a plan of requests in; a recording, samples and metrics out."""
