"""The gate as tests: linters, contracts, and what the documents promise."""
