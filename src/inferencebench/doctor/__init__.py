"""Machine facts: the machine in; its fingerprint, its peak rates and what a run could do here out."""
