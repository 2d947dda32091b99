"""Who solves a mixed-integer linear programme? CBC and HiGHS, asked alike and raced."""
