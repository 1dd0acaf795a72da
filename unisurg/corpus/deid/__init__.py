"""De-identification, fail-closed: whatever was not done, or went wrong, refuses the video.

text.py      what is burned into the picture, read from medians over time
overlays.py  rectangles -> pixels -> black
outside.py   frames that were filmed outside the body, found by a plug-in
decide.py    evidence -> one verdict per video
strip.py     what a finished file may still hold beside its pictures
"""
