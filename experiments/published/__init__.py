"""Published numbers beside what the suite says without having seen them: a file per kind of claim."""
