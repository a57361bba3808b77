"""Series from files and tasks, how they are cut, and what they cost without a network."""
