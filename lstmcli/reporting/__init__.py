"""All that is drawn or written for people to look at later: figures, pages, tables."""
