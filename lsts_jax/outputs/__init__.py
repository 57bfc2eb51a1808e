"""What `predict.py` reads (`sources.py`), and what it writes: where (`names.py`),
over what (`folder.py`), and in which formats (`formats.py`)."""
