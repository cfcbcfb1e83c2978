"""What the benchmark scripts share: where the data is, how a process is measured, how a table is printed."""
