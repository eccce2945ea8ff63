"""Where generated code runs: a subprocess that reaches no network, no file of ours, no process."""
