"""Tables: CSV and Parquet files as series."""
