"""Judging edits: methods, data sets, metrics, the benchmark, and GScore."""
