"""How does a table mark what other load disturbed? With a dagger, and a line below that explains it."""

_DAGGER = "\N{DAGGER}"


def marked(disturbed: object) -> str:
    """What stands behind a number: a dagger if it was disturbed."""
    return _DAGGER if disturbed else ""


def footnotes(*disturbances: str) -> list[str]:
    """The lines below the table, one for each disturbance that there was."""
    return [f"{_DAGGER} {words}" for words in disturbances if words]
