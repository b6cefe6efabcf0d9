"""Whole archives: years of encounters in files, answered part by part, on one machine or on many."""
