"""What a network remembers, and what its layers are for."""
