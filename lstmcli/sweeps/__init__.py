"""The sweep: every depth and seed trained, and what a statistician would say of it."""
