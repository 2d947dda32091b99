"""How does fine-tuning go on from cached activations, after an epoch that has filled the cache?"""
