"""Where should both phases of cached fine-tuning live, provably?"""
