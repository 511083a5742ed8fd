"""Tests of the rooms that read, verify and unpack images."""
