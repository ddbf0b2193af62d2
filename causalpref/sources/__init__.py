"""Where preference data come from: the hub, local files, or a simulated stand-in.

Data of your own are read by :func:`load_preferences`, from a path, a hub id or rows in memory: it
finds the layout from the columns, says what it took the label to mean or asks, and counts and
names what it had to leave out.

Each other ``load_*`` takes ``source``:

``"offline"``
    a simulated corpus with the schema of the real one; no network, same result everywhere;
``"hub"``
    the real data over the network;
a path
    the real data from a local file or folder.

Without ``source`` the environment variable ``CAUSALPREF_DATA`` decides, and
without that it is ``"offline"``. Nothing is guessed. (HANNA has no offline twin.)
"""

from causalpref.sources.files import LoadedPreferences, load_preferences
from causalpref.sources.hanna import load_hanna
from causalpref.sources.hh_rlhf import load_hh_rlhf
from causalpref.sources.ultrafeedback import load_ultrafeedback

__all__ = [
    "LoadedPreferences",
    "load_hanna",
    "load_hh_rlhf",
    "load_preferences",
    "load_ultrafeedback",
]
