"""One module per row of the table; see :mod:`bench.harness` for what a row module holds."""
