"""A run: the trainer, its state, metrics, checkpoints, run directory and evaluation."""
