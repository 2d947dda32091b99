"""How do ranks live on hosts of their own, which are reached over SSH?"""
