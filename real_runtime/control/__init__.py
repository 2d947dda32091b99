"""How are ranks told what to do, watched while they do it, and judged when nothing moves any more?"""
