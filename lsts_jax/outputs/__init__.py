"""Sources that `predict.py` reads (`sources.py`), and its outputs: names (`names.py`), folder
(`folder.py`) and formats (`formats.py`)."""
