"""How does training go on when a rank is lost, leaves or comes? Policies: a situation in, a recovery out.

They are pure functions, asked by whoever plays a job (``edgesim.job.run_job``), in virtual time or on devices. Weights
are moved by schedules of messages like any other.
"""
