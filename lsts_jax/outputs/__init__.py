"""What `predict.py` writes: where (`names.py`), over what (`folder.py`), and in which formats (`formats.py`)."""
