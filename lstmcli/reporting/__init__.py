"""The page about a run or a sweep, from what is on disk. TensorFlow is not needed here."""
