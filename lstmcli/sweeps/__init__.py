"""Many runs, and how many layers are enough."""
