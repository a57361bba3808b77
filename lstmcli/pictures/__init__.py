"""Pictures of what is on disk: a run, a sweep or a checkpoint. TensorFlow is not needed here."""
