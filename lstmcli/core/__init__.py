"""The model, its gradient and its compiled programs: the only room that imports TensorFlow."""
