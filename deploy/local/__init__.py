"""Real servers as processes of this machine, for tests and for `make stack`."""
