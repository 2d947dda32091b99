"""Which Model is a Hugging Face configuration? Reads a local ``config.json``; nothing is downloaded or imported."""

from edgesim.zoo.hugging_face.reading import MODEL_TYPES, config_file, hugging_face, read_config

__all__ = ["MODEL_TYPES", "config_file", "hugging_face", "read_config"]
