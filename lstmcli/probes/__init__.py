"""What a trained network does: what each layer remembers, and what it is for."""
