"""What does each layer of a PyTorch module cost? Counted, fitted, and written as a layer table."""
