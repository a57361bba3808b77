"""What any program would need: errors, files, locks, signals, random streams, memory."""
