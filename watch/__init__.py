"""What nobody had to ask: whether something changed, under a yearly budget of false alarms."""
