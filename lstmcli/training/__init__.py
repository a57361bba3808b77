"""A run: the trainer, its state, metrics, checkpoints, the run directory, evaluation."""
