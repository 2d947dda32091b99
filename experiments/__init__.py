"""How do configurations become results? The only package that imports Hydra and Matplotlib."""
