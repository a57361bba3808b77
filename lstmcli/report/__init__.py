"""What people see: the console and the figures."""
