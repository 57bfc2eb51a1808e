"""Checks every frame of a data set and reports its contents and its faults."""
