"""Tests of what stands between a plan and its launch."""
