"""The model, its gradient and its compiled programs: the only package that imports TensorFlow."""
