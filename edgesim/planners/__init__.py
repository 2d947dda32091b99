"""Where should a model live? A problem in, a plan out; see the folders for who decides, and how.

Planners know no seconds but the profile's, and no simulator: one that judges whole plans is handed the function.
"""
