"""Built-in suites, one module each; see `guidebench.runs.catalog`."""
