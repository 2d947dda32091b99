"""What is a physical testbed like, and can it be used?"""
