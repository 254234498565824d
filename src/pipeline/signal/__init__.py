"""Arrays in, arrays out: filters, resampling, clocks, mel. No files."""
