"""What a run says of its targets: scores with intervals, and what follows from them."""
