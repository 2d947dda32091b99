"""What does a rank carry from plan to plan in a job, and how does it train, move and keep that?"""
