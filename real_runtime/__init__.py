"""How long does a schedule take on real devices? The only package that imports PyTorch; it never simulates."""
