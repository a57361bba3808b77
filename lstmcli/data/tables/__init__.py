"""Tables: CSV and Parquet files whose columns have names."""
