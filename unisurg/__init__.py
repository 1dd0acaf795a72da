"""UniSurg: a video-native foundation model for surgical video, and the whole path to it."""

__version__ = "0.1.0"
