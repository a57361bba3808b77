"""The model and its compiled training: the only rooms that import TensorFlow."""
