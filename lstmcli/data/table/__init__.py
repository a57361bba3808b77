"""Tables: reads CSV and Parquet files as series."""
