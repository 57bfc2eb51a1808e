"""Looks at every frame of a data set, and tells what is in it and what is wrong with it."""
