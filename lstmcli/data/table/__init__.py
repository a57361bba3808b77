"""Tables: CSV and Parquet files read as series."""
