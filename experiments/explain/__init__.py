"""Why does a run take its time, why does another take longer, and what would make it faster?"""
