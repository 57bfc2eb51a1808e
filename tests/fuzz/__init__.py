"""Damaged and hostile input for every reader of files and arguments that come from outside."""
