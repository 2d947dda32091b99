"""How much bandwidth was there, and when? A table over time, as people have it in files; a scenario plays it."""

from edgesim.recording.courses import Course, Drawn, Floats, Recorded, TooManyChangesError
from edgesim.recording.files import read_recording, recording_from_text
from edgesim.recording.recording import BandwidthChange, Column, Recording, Unit

__all__ = [
    "BandwidthChange",
    "Column",
    "Course",
    "Drawn",
    "Floats",
    "Recorded",
    "Recording",
    "TooManyChangesError",
    "Unit",
    "read_recording",
    "recording_from_text",
]
