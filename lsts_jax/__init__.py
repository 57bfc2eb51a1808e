"""Learning where to focus for efficient video object detection, in JAX."""

__version__ = "0.1.0"
