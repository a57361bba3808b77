"""What a run leaves behind: its directory, its tables and its checkpoints."""
