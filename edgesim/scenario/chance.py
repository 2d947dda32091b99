"""What does chance say? Numbers that are drawn from a hash of a seed and of what they are for.

Not from a generator with a state: no draw depends on the order of the simulation, on other events, or on a library's
version.
"""

from hashlib import sha256


def uniform(*words: object) -> tuple[float, float]:
    """Return two numbers in (0, 1), each with 52 bits of a hash of what they are for."""
    digest = sha256(" ".join(map(str, words)).encode()).digest()
    first, second = (int.from_bytes(digest[i : i + 8], "big") >> 12 for i in (0, 8))
    return (first + 0.5) / 2**52, (second + 0.5) / 2**52
