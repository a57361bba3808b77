"""General helpers: errors, files, locks, signals, random streams, memory."""
